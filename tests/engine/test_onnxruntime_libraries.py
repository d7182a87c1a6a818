"""A provider that is listed and does not load: which library or driver is missing, before ONNX Runtime is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from nvidia_doubles import driver

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
import onnxruntime

from u2forge.engine import onnxruntime_libraries as module
from u2forge.engine.nvidia_driver import NvidiaDriver
from u2forge.engine.onnxruntime_devices import device_of
from u2forge.engine.onnxruntime_libraries import check_libraries
from u2forge.errors import EngineError


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a build for CUDA 13, without libraries."""
    monkeypatch.setattr(onnxruntime, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    (tmp_path / "capi").mkdir()
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    module._preload.cache_clear()
    return tmp_path / "capi"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "found no driver of NVIDIA's on this machine. To mend: install the GPU's driver"),
        (driver(problem="it finds no GPU"), "NVIDIA's driver, but it finds no GPU. .*CUDA_VISIBLE_DEVICES"),
        (
            driver("L4", cuda=(12, 4)),
            "a driver for CUDA 12.4, and an ONNX Runtime built with CUDA 13. To mend: update the driver, or install an "
            "onnxruntime-gpu that was built with CUDA 12",
        ),
        (driver("L4"), "found 1 of them: L4. To mend: choose a smaller number"),
    ],
)
def test_what_is_amiss_with_the_driver(
    monkeypatch: pytest.MonkeyPatch, build: Path, found: NvidiaDriver | None, message: str
) -> None:
    monkeypatch.setattr(module, "nvidia_driver", lambda: found)
    with pytest.raises(EngineError, match=message):
        check_libraries(device_of("cuda:1"))


def test_the_processor_needs_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "nvidia_driver", lambda: pytest.fail("the driver was loaded"))
    check_libraries(device_of("cpu"))


@pytest.mark.parametrize(
    ("device", "missing", "mend"),
    [
        ("cuda", "libcublasLt.so.13", r"pip install 'onnxruntime-gpu\[cuda,cudnn\]'"),
        ("tensorrt", "libnvinfer.so.10", "install the TensorRT that this ONNX Runtime was built with"),
        ("tensorrt", "libcudnn.so.9", r"pip install 'onnxruntime-gpu\[cuda,cudnn\]'"),
    ],
)
def test_a_library_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, build: Path, device: str, missing: str, mend: str
) -> None:
    loaded: list[str] = []

    def load(path: str, *, mode: int = 0) -> Any:
        loaded.append(Path(path).name)
        if "shared" not in path:
            raise OSError(f"{missing}: cannot open shared object file: No such file or directory")

    (build / f"libonnxruntime_providers_{device}.so").touch()
    monkeypatch.setattr(module, "nvidia_driver", lambda: driver("L4"))
    monkeypatch.setattr(module.ctypes, "CDLL", load)
    with pytest.raises(EngineError, match=f"found {missing}: cannot open.*To mend: .*{mend}"):
        check_libraries(device_of(device))
    assert loaded == ["libonnxruntime_providers_shared.so", f"libonnxruntime_providers_{device}.so"]


def test_pips_libraries_are_loaded_once_and_what_is_printed_does_not_show(
    monkeypatch: pytest.MonkeyPatch, build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def preload() -> None:
        calls.append(1)
        sys.stdout.write("Failed to load libcublasLt.so.13")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    monkeypatch.setattr(module, "nvidia_driver", lambda: driver("L4"))
    for _ in range(2):
        check_libraries(device_of("cuda"))
    assert calls == [1]
    assert capsys.readouterr().out == ""


def test_a_build_that_cannot_preload_is_no_error(monkeypatch: pytest.MonkeyPatch, build: Path) -> None:
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    monkeypatch.setattr(module, "nvidia_driver", lambda: driver("L4"))
    check_libraries(device_of("cuda"))
