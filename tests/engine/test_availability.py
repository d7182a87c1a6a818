"""The list of engines: what each has and runs in, or why it is not there; never an exception."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvidia_doubles import driver

from u2forge.engine import availability, engine_entry, registry, unused_gpu
from u2forge.engine.availability import DeviceStatus, EngineStatus, available_engines
from u2forge.engine.registry import ENGINES
from u2forge.errors import EngineError
from u2forge.native import built
from u2forge.native.built import BUILD_COMMAND
from u2forge.precision import PRECISION_MODES


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused_gpu, "nvidia_driver", lambda: None)


def test_every_engine_is_listed_with_what_it_really_runs_in() -> None:
    statuses = available_engines()
    assert [status.engine for status in statuses] == list(ENGINES)
    for status in statuses:
        assert status.available == ENGINES[status.engine].installed
        if not status.available:
            continue
        assert status.version
        processor = next(device for device in status.devices if device.device.lower() == "cpu")
        assert list(processor.precisions) == list(PRECISION_MODES)
        assert processor.precisions["force_float32"] == "float32"
        assert processor.precisions["force_float16"] in ("float32", "bfloat16", "float16")
        assert processor.device_name


def test_what_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    native, *others, magicmind = available_engines()
    assert [status.engine for status in others] == ["cuda", "openvino", "onnxruntime"]
    for status in others:
        assert not status.available
        package = ENGINES[status.engine].module
        assert str(replace(status, note=None)) == (
            f"{status.engine}: not available: the package {package} is not installed. "
            f"To mend: `pip install '{package}'` (u2forge's extra [{status.engine}])"
        )
    assert str(magicmind).endswith("is not installed. To mend: " + ENGINES["magicmind"].install)
    assert not native.available
    assert str(native) == f"native: not available: {native.reason}. To mend: {BUILD_COMMAND}"
    assert native.reason == built.not_built_reason()


def test_kernels_that_were_not_built_say_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    monkeypatch.setattr(built, "_REASON", tmp_path / "not_built.txt")
    assert ENGINES["native"].missing == "its kernels were not built with this installation of u2forge"
    (tmp_path / "not_built.txt").write_text("no C++17 compiler was found: g++: command not found\n")
    assert available_engines()[0].reason == "no C++17 compiler was found: g++: command not found"
    assert "pip install ." in str(available_engines()[0].install)


def test_a_broken_installation_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def broken(name: str) -> object:
        if name in {entry.module for entry in ENGINES.values()}:
            raise OSError("libtbb.so.12: cannot open shared object file")
        return load(name)

    monkeypatch.setattr(engine_entry, "find_module", lambda name: object())
    monkeypatch.setattr(registry.importlib, "import_module", broken)
    for status in available_engines():
        assert status.reason == "it does not load (libtbb.so.12: cannot open shared object file)"
        assert status.version is None


def test_an_engine_that_loads_and_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> list[str]:
        raise RuntimeError("no plugins.xml")

    monkeypatch.setattr(engine_entry, "find_module", lambda name: object())
    monkeypatch.setattr(availability, "engine_devices", fail)
    assert {status.reason for status in available_engines()} == {"it does not work (no plugins.xml)"}


def test_a_device_that_refuses_a_mode_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise EngineError(where="here", expected="a driver", found="none of that kind", fix="install one")

    monkeypatch.setattr(engine_entry, "find_module", lambda name: object())
    monkeypatch.setattr(availability, "engine_devices", lambda name: ["npu"])
    monkeypatch.setattr(availability, "_opened_info", refuse)
    for status in available_engines():
        assert status.available
        if status.engine == "magicmind":  # no model to try it with
            assert status.devices == (DeviceStatus("npu", "no precision tried", {}),)
            continue
        assert status.devices[0].precisions == dict.fromkeys(PRECISION_MODES, "not run (none of that kind)")


def test_a_module_under_another_distributions_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(availability, "version", none)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__version__="1.31.1"))
    assert availability._version("onnxruntime") == "1.31.1"
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert availability._version("onnxruntime") == "of unknown version"


def test_the_wording_of_what_is_there() -> None:
    precisions = {"force_float32": "float32", "force_float16": "bfloat16", "qint16_mixed_float32": "float32"}
    device = DeviceStatus("CPU", "Abacus 9000", precisions)
    assert str(EngineStatus("openvino", "1.2", (device,))) == (
        "openvino 1.2\n  CPU: Abacus 9000\n"
        "    float32: force_float32, qint16_mixed_float32\n    bfloat16: force_float16"
    )


def test_a_gpu_that_no_engine_uses_is_told_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    monkeypatch.setattr(
        unused_gpu, "nvidia_driver", lambda: driver("NVIDIA H200", "NVIDIA H200", cuda=(12, 4))
    )
    lines = {status.engine: str(status) for status in available_engines()}
    told = "NVIDIA H200, with a driver for CUDA 12.4, is not used; to use it: run `pip uninstall onnxruntime`"
    assert told in lines["onnxruntime"]
    assert [name for name, line in lines.items() if "H200" in line] == [
        name for name, entry in ENGINES.items() if entry.nvidia_install is not None
    ]


def test_a_driver_that_does_not_work_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    monkeypatch.setattr(unused_gpu, "nvidia_driver", lambda: driver(problem="it finds no GPU"))
    (line,) = [str(status) for status in available_engines() if status.engine == "onnxruntime"]
    assert "a driver of NVIDIA's is there, but it finds no GPU; to use it" in line


@pytest.mark.parametrize(("executed", "used"), [("float32", True), ("not run (no libcublas)", False)])
def test_a_gpu_is_used_where_it_ran(monkeypatch: pytest.MonkeyPatch, executed: str, used: bool) -> None:
    device = DeviceStatus(
        "cuda:0", "NVIDIA H200", {"force_float32": executed, "force_float16": "not run (x)"}
    )
    monkeypatch.setattr(availability, "_status", lambda name: EngineStatus(name, "1.2", (device,)))
    monkeypatch.setattr(unused_gpu, "nvidia_driver", lambda: driver("NVIDIA H200"))
    lines = [str(status) for status in available_engines()]
    assert any("is not used" in line for line in lines) is not used


def test_a_machine_without_gpus_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda name: None)
    assert all(status.note == ENGINES[status.engine].note for status in available_engines())


def test_a_listed_provider_that_does_not_load_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from onnxruntime_doubles import use_gpu_build

    asked = use_gpu_build(monkeypatch, None)
    # The others would be tried with models of their own.
    monkeypatch.setattr(availability, "ENGINES", {"onnxruntime": ENGINES["onnxruntime"]})
    (status,) = available_engines()
    precisions = {device.device: set(device.precisions.values()) for device in status.devices}
    for name in ("cuda", "tensorrt"):
        assert precisions[name] == {"not run (no driver of NVIDIA's on this machine)"}
    assert {provider for provider, _ in asked.providers} == {"CPUExecutionProvider"}
