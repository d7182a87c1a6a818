"""Networks that are no U²-Nets: exact in float32, honest in their files, and known to the other tools."""

from __future__ import annotations

from pathlib import Path

import foreign_networks
import pytest
from programs import Noise, Running, built, config, noise, parsed, reference, worst

import u2forge
import u2forge.magicmind as mm
from u2forge.cli import mm_run
from u2forge.errors import ModelError

TWO = (1, 3, 12, 8), (1, 1, 12, 8)


@pytest.fixture(scope="module")
def saved(detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "detector.model"
    assert built(parsed(detector), config()).serialize_to_file(str(path)).ok()
    return path


def test_several_inputs_and_outputs(detector: Path) -> None:
    arrays = [noise(*shape) for shape in TWO]
    expected = reference(detector, *arrays)
    assert worst(Running(built(parsed(detector), config()))(*arrays), expected) < 1e-5
    data = [Noise(shape) for shape in TWO]
    model = built(parsed(detector), config(precision="qint8_mixed_float32"), *data)
    # The classes are whole numbers: not compared where scores may be close to each other.
    assert worst(Running(model)(*arrays)[:2], expected[:2]) < 0.05


@pytest.mark.needs_torch
@pytest.mark.parametrize("precision", ["force_float32", "qint8_mixed_float32"])
def test_a_torchscript_network(tmp_path: Path, precision: str) -> None:
    torch = pytest.importorskip("torch")
    path = foreign_networks.traced(tmp_path / "small.pt")
    shapes = (3, 3, 8, 12), (3, 8, 8, 12)
    network = parsed(path, *shapes, kind=mm.ModelKind.kPytorch)
    data = [Noise(shape) for shape in shapes] if precision.startswith("qint") else []
    arrays = [noise(*shape) for shape in shapes]
    expected = [found.detach().numpy() for found in torch.jit.load(str(path))(*map(torch.from_numpy, arrays))]
    found = Running(built(network, config(precision=precision), *data))(*arrays)
    assert worst(found, expected) < (0.05 if data else 1e-5)


@pytest.mark.needs_torch
def test_a_torchscript_network_of_open_batch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = foreign_networks.traced(tmp_path / "small.pt")
    network = parsed(path, (1, 3, 8, 12), (1, 8, 8, 12), kind=mm.ModelKind.kPytorch)
    run = Running(built(network, config({"graph_shape_mutable": True})))
    for batch in (1, 5):
        arrays = noise(batch, 3, 8, 12), noise(batch, 8, 8, 12)
        expected = [
            found.detach().numpy() for found in torch.jit.load(str(path))(*map(torch.from_numpy, arrays))
        ]
        assert worst(run(*arrays), expected) < 1e-5


def test_the_file_says_what_it_is(saved: Path) -> None:
    found = u2forge.inspect(saved)
    assert found.manifest is not None
    assert (found.manifest.architecture, found.manifest.interface) == ("foreign", "tensors")
    assert (found.manifest.pre, found.manifest.post) == (None, None)
    assert [spec.layout for spec in found.manifest.outputs] == ["NCHW", "NCHW", "ARRAY"]
    assert "a model of tensors: only the program that it was built for knows" in str(found)
    assert "GMAC for one of a batch" in str(found)


def test_infer_refuses_it(saved: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a model of pictures: a U²-Net.*`u2forge magicmind run`"):
        u2forge.infer(photos, out=tmp_path / "masks", model=saved)
    assert not (tmp_path / "masks").exists()


def test_mm_run_measures_it(saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = []
    arrays = [noise(*shape) for shape in TWO]
    for index, array in enumerate(arrays):
        files.append(str(tmp_path / f"input{index}"))
        array.tofile(files[-1])
    words = ["--magicmind_model", str(saved), "--iterations", "3", "--duration", "1", "--warmup", "1"]
    assert mm_run.main([*words, "--input_files", *files, "--output_path", str(tmp_path / "raw")]) == 0
    report = capfd.readouterr().out
    assert "Throughput (qps):" in report
    assert "classes" in report
    assert len(list((tmp_path / "raw").iterdir())) == 3


def test_a_network_of_no_convolutions_has_nothing_to_quantize(tmp_path: Path) -> None:
    import onnx

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[1, 4] x) => (float[1, 4] y) { y = Sigmoid(x) }'
    )
    onnx.save(model, tmp_path / "plain.onnx")
    network = parsed(tmp_path / "plain.onnx")
    status = mm.Calibrator([Noise((1, 4))]).calibrate(network, config(precision="qint8_mixed_float32"))
    assert "expected a network with two-dimensional convolutions" in status.message
    run = Running(built(network, config()))
    assert worst(run(noise(1, 4)), reference(tmp_path / "plain.onnx", noise(1, 4))) < 1e-5
