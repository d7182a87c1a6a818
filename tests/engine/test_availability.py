"""The list of engines: what each has and runs in, or why it is not there; never an exception."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from u2forge.engine import availability, engine_entry, registry
from u2forge.engine.availability import DeviceStatus, EngineStatus, available_engines
from u2forge.engine.registry import ENGINES
from u2forge.errors import EngineError
from u2forge.native import built
from u2forge.native.built import BUILD_COMMAND
from u2forge.precision import PRECISION_MODES


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
    assert [status.engine for status in others] == ["openvino", "onnxruntime"]
    for status in others:
        assert not status.available
        assert str(status) == (
            f"{status.engine}: not available: the package {ENGINES[status.engine].module} is not installed. "
            f"To mend: `pip install '{status.engine}'` (u2forge's extra [{status.engine}])"
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
    assert availability._version("onnxruntime") == "of unknown version"


def test_the_wording_of_what_is_there() -> None:
    precisions = {"force_float32": "float32", "force_float16": "bfloat16", "qint16_mixed_float32": "float32"}
    device = DeviceStatus("CPU", "Abacus 9000", precisions)
    assert str(EngineStatus("openvino", "1.2", (device,))) == (
        "openvino 1.2\n  CPU: Abacus 9000\n"
        "    float32: force_float32, qint16_mixed_float32\n    bfloat16: force_float16"
    )
