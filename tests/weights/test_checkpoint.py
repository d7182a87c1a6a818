"""read_checkpoint and the writers: formats told apart by bytes, one float32 result, nothing run."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from u2forge.errors import InputError, MissingDependencyError, ModelError, OutputError, U2ForgeError
from u2forge.weights import torch_package
from u2forge.weights.checkpoint import Checkpoint, read_checkpoint, write_safetensors, write_state_dict

Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture
def arrays() -> Arrays:
    values = np.random.default_rng(0)
    return {
        "side1.weight": values.standard_normal((1, 4, 3, 3)).astype(np.float32),
        "side1.bias": values.standard_normal(1).astype(np.float32),
        "stage1.rebnconvin.bn_s1.running_mean": values.standard_normal(4).astype(np.float32),
    }


def assert_same(checkpoint: Checkpoint, arrays: Arrays) -> None:
    assert set(checkpoint.arrays) == set(arrays)
    for name, array in arrays.items():
        found = checkpoint.arrays[name]
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, array)


def saved(value: object, path: Path, *, legacy: bool = False) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def scripted(path: Path) -> tuple[Path, Arrays]:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    state = module.state_dict()
    return path, {name: t.numpy() for name, t in state.items() if not name.endswith("num_batches_tracked")}


# Formats


@pytest.mark.needs_torch
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
@pytest.mark.parametrize("file_name", ["net.pth", "net.pt", "net"])
def test_a_state_dict_is_read_whatever_its_name(
    tmp_path: Path, arrays: Arrays, legacy: bool, file_name: str
) -> None:
    torch = pytest.importorskip("torch")
    path = saved(
        {name: torch.from_numpy(a) for name, a in arrays.items()}, tmp_path / file_name, legacy=legacy
    )
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint, arrays)
    assert (checkpoint.format, checkpoint.file) == ("pth", file_name)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.needs_torch
@pytest.mark.parametrize("file_name", ["net.pt", "net.pth"])
def test_torchscript_is_read_whatever_its_name_and_without_warnings(tmp_path: Path, file_name: str) -> None:
    path, arrays = scripted(tmp_path / file_name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint = read_checkpoint(path)
    assert checkpoint.format == "pt"
    assert_same(checkpoint, arrays)


def test_safetensors_is_read_whatever_its_name(tmp_path: Path, arrays: Arrays) -> None:
    write_safetensors(arrays, tmp_path / "net.pth")
    checkpoint = read_checkpoint(tmp_path / "net.pth")
    assert checkpoint.format == "safetensors"
    assert_same(checkpoint, arrays)


@pytest.mark.needs_torch
@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_and_prefixes_are_taken_off(
    tmp_path: Path, arrays: Arrays, wrapper: str, prefix: str
) -> None:
    torch = pytest.importorskip("torch")
    state = {prefix + name: torch.from_numpy(a) for name, a in arrays.items()}
    path = saved({"epoch": 3, wrapper: state, "optimizer": {"lr": 0.1}}, tmp_path / "net.pth")
    assert_same(read_checkpoint(path), arrays)


@pytest.mark.needs_torch
def test_a_prefix_that_not_every_name_has_stays(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "net.pth")
    assert list(read_checkpoint(path).arrays) == ["module.a", "b"]


@pytest.mark.needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("file_format", ["pth", "safetensors"])
def test_other_float_types_become_float32(tmp_path: Path, dtype: str, file_format: str) -> None:
    torch = pytest.importorskip("torch")
    # Sums of few powers of two: exact in each of the types.
    tensor = torch.tensor([[1.5, -2.25], [0.0, 1024.0]]).to(getattr(torch, dtype))
    path = tmp_path / "net"
    if file_format == "pth":
        saved({"w": tensor.t()}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file({"w": tensor.t().contiguous()}, path)
    assert_same(read_checkpoint(path), {"w": np.array([[1.5, 0.0], [-2.25, 1024.0]], np.float32)})


@pytest.mark.needs_torch
def test_the_counters_of_batch_norm_are_left_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved(torch.nn.BatchNorm2d(3).state_dict(), tmp_path / "net.pth")
    assert set(read_checkpoint(path).arrays) == {"weight", "bias", "running_mean", "running_var"}


# Hostile and broken files


class Payload:
    """Unpickling this makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.mark.needs_torch
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
def test_a_malicious_state_dict_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    made = tmp_path / "made"
    path = saved({"w": Payload(made)}, tmp_path / "net.pth", legacy=legacy)
    with pytest.raises(
        ModelError, match=r"pickle that would run Python code when loaded \(\S+\); it was not run"
    ):
        read_checkpoint(path)
    assert not made.exists()


@pytest.mark.needs_torch
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_plain_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(Payload(made), protocol=protocol))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError):
            read_checkpoint(path)
    assert not made.exists()


@pytest.mark.needs_torch
def test_a_whole_model_is_refused_with_the_way_to_save_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(
        ModelError, match=r"Linear\); it was not run.*torch\.save\(model\.state_dict\(\), FILE\)"
    ):
        read_checkpoint(path)


@pytest.mark.needs_torch
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_something_else_is_named_so(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(ModelError, match="found a pickle of something else"):
        read_checkpoint(path)


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "expected a state dict: a mapping from names to tensors; found a list"),
        ({"a": 1}, "entry 'a': expected a name and a tensor; found a int"),
        ({3: 1}, "entry 3: expected a name and a tensor"),
        ({"a": "text"}, "entry 'a': expected a name and a tensor; found a str"),
        ({}, "found no tensors at all"),
    ],
)
def test_what_is_not_a_state_dict_is_named(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        read_checkpoint(saved(value, tmp_path / "net.pth"))


@pytest.mark.needs_torch
def test_tensors_that_are_no_weights_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    cases = {
        "int8, torch.strided": torch.zeros(3, dtype=torch.int8),
        "float32, torch.sparse_coo": torch.eye(3).to_sparse(),
        "on meta": torch.zeros(3, device="meta"),
    }
    for found, tensor in cases.items():
        with pytest.raises(
            ModelError, match=f"tensor 'w': expected dense floating-point weights; found .*{found}"
        ):
            read_checkpoint(saved({"w": tensor}, tmp_path / "net.pth"))


@pytest.mark.needs_torch
def test_a_view_larger_than_its_file_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved({"w": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "net.pth")
    with pytest.raises(
        ModelError, match=r"tensor 'w': expected no more elements than the file has bytes for"
    ):
        read_checkpoint(path)


@pytest.mark.needs_torch
def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}.")
        archive.writestr("net/data/0", bytes(80 << 20))
    with pytest.raises(
        ModelError, match=r"unpacks to at most \d+ bytes; found \d+ bytes that unpack to 838860"
    ):
        read_checkpoint(path)


@pytest.mark.needs_torch
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinite_weights_are_named(tmp_path: Path, bad: float) -> None:
    torch = pytest.importorskip("torch")
    path = saved({"a": torch.zeros(2), "b.weight": torch.tensor([0.0, bad, bad])}, tmp_path / "net.pth")
    with pytest.raises(
        ModelError, match=r"tensor 'b\.weight': expected finite.*found 2 of 3 NaN or infinite"
    ):
        read_checkpoint(path)


@pytest.mark.needs_torch
def test_doubles_beyond_float32_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {"w": torch.tensor([1e300], dtype=torch.float64)}
    pytest.importorskip("safetensors.torch").save_file(tensors, tmp_path / "net.safetensors")
    for path in (saved(tensors, tmp_path / "net.pth"), tmp_path / "net.safetensors"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ModelError, match=r"tensor 'w': expected finite weights within float32"):
                read_checkpoint(path)


def test_an_integer_safetensors_is_refused(tmp_path: Path) -> None:
    numpy_safetensors = pytest.importorskip("safetensors.numpy")
    numpy_safetensors.save_file({"w": np.zeros(3, np.int8)}, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=r"tensor 'w': expected floating-point weights .*; found I8"):
        read_checkpoint(tmp_path / "net.safetensors")


@pytest.mark.needs_torch
@pytest.mark.parametrize("kind", ["archive", "legacy", "torchscript", "safetensors"])
def test_a_file_cut_at_any_place_is_refused(tmp_path: Path, arrays: Arrays, kind: str) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net"
    if kind == "safetensors":
        write_safetensors(arrays, path)
    elif kind == "torchscript":
        scripted(path)
    else:
        saved({name: torch.from_numpy(a) for name, a in arrays.items()}, path, legacy=kind == "legacy")
    whole = path.read_bytes()
    for length in {1, 4, 8, 9, 40, len(whole) // 3, len(whole) // 2, len(whole) - 40, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_checkpoint(path)


@pytest.mark.needs_torch
@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_damaged_bytes_never_end_in_anything_but_our_errors(
    tmp_path: Path, arrays: Arrays, kind: str
) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net"
    if kind == "safetensors":
        write_safetensors(arrays, path)
    else:
        saved({name: torch.from_numpy(a) for name, a in arrays.items()}, path, legacy=kind == "legacy")
    whole = path.read_bytes()
    places = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in places.integers(0, len(whole), 4):
            damaged[place] ^= int(places.integers(1, 256))
        path.write_bytes(damaged)
        try:
            # Damage inside a tensor's values cannot be told from other values.
            checkpoint = read_checkpoint(path)
        except U2ForgeError:
            continue
        assert all(
            array.dtype == np.float32 and np.isfinite(array).all() for array in checkpoint.arrays.values()
        )


def test_what_cannot_be_read_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ModelError, match="found an empty file"):
        read_checkpoint(tmp_path / "empty.pth")
    for name in ("text.pth", "other.pth"):
        with pytest.raises(ModelError, match="found none of these, by its bytes"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(InputError, match=r"absent\.pth: expected a file that can be read"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="expected a file that can be read"):
        read_checkpoint(tmp_path)


# PyTorch is an extra


@pytest.mark.parametrize("version", [None, "2.9.1"])
def test_without_a_safe_pytorch_the_extra_is_named(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    def import_module(name: str) -> object:
        if version is None:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return type("torch", (), {"__version__": version})

    monkeypatch.setattr(torch_package.importlib, "import_module", import_module)
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    for call in (lambda: read_checkpoint(path), lambda: write_state_dict(arrays, path)):
        with pytest.raises(MissingDependencyError, match=r"pip install 'torch>=2\.10'"):
            call()


# Writing


@pytest.mark.needs_torch
def test_a_written_state_dict_loads_strictly_into_a_module(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = {
        name: t.numpy() for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")
    }
    write_state_dict(state, tmp_path / "net.pth")
    module.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True), strict=True)
    assert_same(read_checkpoint(tmp_path / "net.pth"), state)


@pytest.mark.needs_torch
@settings(max_examples=15, deadline=None)
@given(
    names=st.lists(st.text("abc.019_", min_size=1, max_size=12), min_size=1, max_size=4, unique=True),
    values=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4),
        elements=st.floats(-100, 100, width=32),
    ),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], values: NDArray[np.float32]
) -> None:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("written")
    # Transposed, so not contiguous: what is stored must be the values, not the memory.
    arrays = dict.fromkeys(names, values.T)
    write_safetensors(arrays, folder / "a")
    write_state_dict(arrays, folder / "b")
    assert_same(read_checkpoint(folder / "a"), arrays)
    assert_same(read_checkpoint(folder / "b"), arrays)


@pytest.mark.needs_torch
def test_the_same_arrays_give_the_same_bytes_under_any_name(tmp_path: Path, arrays: Arrays) -> None:
    pytest.importorskip("torch")
    for write in (write_state_dict, write_safetensors):
        write(arrays, tmp_path / "one")
        write(arrays, tmp_path / "another")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "another").read_bytes()


def test_an_unwritable_place_is_an_output_error_and_leaves_nothing(tmp_path: Path, arrays: Arrays) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_safetensors(arrays, tmp_path / "file" / "net.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_state_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    looped: dict[str, object] = {}
    looped["state_dict"] = looped
    torch.save(looped, tmp_path / "looped.pth")
    with pytest.raises(ModelError, match="state dict"):
        read_checkpoint(tmp_path / "looped.pth")
