"""`auto` with a named device: the first engine that has it and suits the model, none imported in vain, and an error
that says who has what."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from u2forge.engine import engine_entry, registry
from u2forge.engine.engine_entry import EngineEntry, device_kind
from u2forge.engine.probe_model import write_probe_model
from u2forge.engine.registry import check_engine, choose_engine, engine_for_graph, open_engine
from u2forge.errors import EngineError, MissingDependencyError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import read_manifest
from u2forge.native.refusal import UnsupportedGraphError

DOUBLES = "auto_device_doubles"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    write_probe_model(tmp_path / "model.onnx", "force_float32")
    return read_manifest(tmp_path / "model.onnx")


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four engines of doubles; which of them were imported, in order."""
    code = types.ModuleType(DOUBLES)
    names: list[str] = []
    devices = {
        "fast": ["cpu", "avx9"],
        "gpu": ["cpu", "cuda:0", "cuda:1"],
        "wide": ["CPU", "GPU.0"],
        "other": ["cpu", "cuda"],
    }

    def entry(name: str, **facts: Any) -> EngineEntry:
        setattr(code, f"devices_{name}", lambda: devices[name])
        setattr(code, f"find_{name}", finder(name))
        setattr(code, f"open_{name}", lambda model, options: (name, options.device))
        return EngineEntry(
            module=name,
            opener=f"{DOUBLES}:open_{name}",
            devices=f"{DOUBLES}:devices_{name}",
            find_device=f"{DOUBLES}:find_{name}",
            profiler=None,
            extra=name,
            **facts,
        )

    def finder(name: str) -> Callable[..., str]:
        def find(present: list[str], asked: str) -> str:
            if asked.lower() not in [one.lower() for one in present] and asked != "cuda":
                raise EngineError(where=name, expected="it", found="no such device", fix=f"mend {name}")
            if asked == "cuda" and not any(one.startswith("cuda") for one in present):
                raise EngineError(where=name, expected="it", found="none", fix=f"install {name} for CUDA")
            return asked

        return find

    code.suits_fast = lambda manifest, *, device: manifest.name != "slow"  # type: ignore[attr-defined]
    code.suits_gpu = lambda manifest, *, device: device.startswith("cuda")  # type: ignore[attr-defined]
    entries = {
        "fast": entry("fast", suits=f"{DOUBLES}:suits_fast"),
        "gpu": entry("gpu", suits=f"{DOUBLES}:suits_gpu", auto_devices=("cuda",)),
        "wide": entry("wide", auto_devices=("auto", "cpu", "gpu")),
        "other": entry(
            "other", auto_devices=("auto", "cpu", "cuda", "tensorrt"), nvidia_install="get other[cuda]"
        ),
    }
    monkeypatch.setitem(sys.modules, DOUBLES, code)
    monkeypatch.setattr(registry, "ENGINES", entries)
    monkeypatch.setattr(registry, "import_engine", names.append)
    monkeypatch.setattr(engine_entry, "find_module", lambda name: name)
    imported_names.devices = devices
    return names


class imported_names:
    """What the doubles have, to be changed by a test."""

    devices: dict[str, list[str]]


@pytest.mark.parametrize(
    ("device", "name", "asked"),
    [
        ("auto", "fast", ["fast"]),
        ("cpu", "fast", ["fast", "fast"]),
        ("AVX9", "fast", ["fast", "fast"]),
        # fast may have any device, and is asked; wide knows no such kind.
        ("cuda", "gpu", ["fast", "fast", "gpu", "gpu"]),
        ("cuda:1", "gpu", ["fast", "fast", "gpu", "gpu"]),
        ("GPU.0", "wide", ["fast", "fast", "wide"]),
    ],
)
def test_the_first_that_has_the_device(
    imported: list[str], manifest: Manifest, device: str, name: str, asked: list[str]
) -> None:
    assert choose_engine("auto", manifest=manifest, device=device) == name
    assert imported == asked
    check_engine("auto", device=device)


def test_an_engine_that_has_no_such_gpu_leaves_it_to_the_next(
    imported: list[str], manifest: Manifest
) -> None:
    imported_names.devices["gpu"] = ["cpu"]
    assert choose_engine("auto", manifest=manifest, device="cuda") == "other"


def test_one_for_named_devices_only_is_never_taken_unasked(imported: list[str], tmp_path: Path) -> None:
    write_probe_model(tmp_path / "model.onnx", "force_float32")
    registry.ENGINES.pop("fast")
    assert open_engine(tmp_path / "model.onnx") == ("wide", "auto")
    assert "gpu" not in imported
    assert open_engine(tmp_path / "model.onnx", options=registry.EngineOptions(device="cpu")) == (
        "wide",
        "cpu",
    )


def test_one_that_refuses_the_graph_leaves_it_to_the_next_with_the_device(
    imported: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedGraphError(where="node", expected="one", found="another", fix="none")

    write_probe_model(tmp_path / "model.onnx", "force_float32")
    monkeypatch.setattr(sys.modules[DOUBLES], "open_gpu", refuse)
    options = registry.EngineOptions(device="cuda")
    assert open_engine(tmp_path / "model.onnx", options=options) == ("other", "cuda")
    with pytest.raises(UnsupportedGraphError):
        open_engine(tmp_path / "model.onnx", engine="gpu", options=options)
    monkeypatch.setattr(sys.modules[DOUBLES], "open_fast", refuse)
    with pytest.raises(UnsupportedGraphError):
        open_engine(tmp_path / "model.onnx", options=registry.EngineOptions(device="avx9"))


def test_which_it_would_be_is_told_without_opening_it(
    imported: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedGraphError(where="node", expected="one", found="another", fix="none")

    write_probe_model(tmp_path / "model.onnx", "force_float32")
    path = tmp_path / "model.onnx"
    code = sys.modules[DOUBLES]
    monkeypatch.setattr(code, "open_fast", lambda *_: pytest.fail("it was opened"))
    monkeypatch.setattr(code, "check_fast", lambda model: None, raising=False)
    fast = registry.ENGINES["fast"]._replace(check_graph=f"{DOUBLES}:check_fast")
    monkeypatch.setitem(registry.ENGINES, "fast", fast)
    assert engine_for_graph(path, "fast") == "fast"
    monkeypatch.setattr(code, "check_fast", refuse)
    with caplog.at_level("INFO", "u2forge"):
        assert engine_for_graph(path, "fast") == "wide"
    assert "another engine than fast is taken: node" in caplog.text
    with pytest.raises(UnsupportedGraphError):
        engine_for_graph(path, "fast", device="avx9")
    # One that refuses no graph needs no look at it.
    path.unlink()
    assert engine_for_graph(path, "wide") == "wide"


def test_a_device_that_nobody_has(imported: list[str], manifest: Manifest) -> None:
    with pytest.raises(EngineError) as caught:
        choose_engine("auto", manifest=manifest, device="abacus")
    assert str(caught.value) == (
        "engine 'auto', device 'abacus', model 'probe': expected an engine that has it and runs this model; found "
        "fast: cpu, avx9; gpu: cpu, cuda:0, cuda:1; wide: CPU, GPU.0; other: cpu, cuda. To mend: choose one of these "
        "devices."
    )
    with pytest.raises(EngineError, match="device 'abacus': expected an engine that has it; found fast: cpu"):
        check_engine("auto", device="abacus")


def test_who_could_have_the_device_says_how(
    imported: list[str], manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported_names.devices["gpu"] = ["cpu"]
    imported_names.devices["other"] = ["cpu"]
    with pytest.raises(EngineError) as caught:
        choose_engine("auto", manifest=manifest, device="cuda")
    assert caught.value.fix == "gpu: install gpu for CUDA; other: install other for CUDA"
    monkeypatch.setattr(engine_entry, "find_module", lambda name: name if name == "fast" else None)
    with pytest.raises(EngineError) as caught:
        choose_engine("auto", manifest=manifest, device="cuda")
    assert caught.value.found == "fast: cpu, avx9"
    assert caught.value.fix == "gpu: run `pip install 'gpu'` (u2forge's extra [gpu]); other: get other[cuda]"
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    with pytest.raises(MissingDependencyError):
        choose_engine("auto", manifest=manifest, device="cuda")


def test_an_engine_that_breaks_when_asked_does_not_stop_the_choice(
    imported: list[str], manifest: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("no plugins.xml")

    monkeypatch.setattr(sys.modules[DOUBLES], "devices_gpu", broken)
    assert choose_engine("auto", manifest=manifest, device="cuda") == "other"
    assert "another engine than gpu is taken: it does not work (no plugins.xml)" in caplog.text
    with pytest.raises(EngineError, match=r"gpu: does not work \(no plugins.xml\)"):
        check_engine("auto", device="abacus")


@pytest.mark.parametrize(
    ("device", "kind"), [("cuda", "cuda"), ("CUDA:1/bfloat16", "cuda"), ("GPU.0", "gpu"), ("mlu:0", "mlu")]
)
def test_the_kind_of_a_device(device: str, kind: str) -> None:
    assert device_kind(device) == kind
