"""A double of an ONNX Runtime that was built for NVIDIA's GPUs: the real one, that computes on the processor and notes
what it was asked for. All that it is given passes through the real objects, so that their signatures hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from u2forge.engine import onnxruntime_devices, onnxruntime_engine, onnxruntime_libraries
from u2forge.engine.nvidia_driver import NvidiaDriver

PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
_Session, _Binding, _Value = onnxruntime.InferenceSession, onnxruntime.IOBinding, onnxruntime.OrtValue


class Asked:
    """What the double was asked for. copies: the device of each input and output that lies on one, in order."""

    def __init__(self) -> None:
        self.providers: list[tuple[str, dict[str, str]]] = []
        self.configured: dict[str, str] = {}
        self.fallback: list[int] = []
        self.copies: list[tuple[str, str, int]] = []
        self.written: dict[str, bytes] = {}
        self.refusal: Exception | None = None


def use_gpu_build(monkeypatch: pytest.MonkeyPatch, driver: NvidiaDriver | None) -> Asked:
    """Has the installed ONNX Runtime stand in for one with CUDA and TensorRT, on a machine with that driver."""
    asked = Asked()

    class Value(_Value):  # type: ignore[misc]
        @classmethod
        def ortvalue_from_numpy(cls, array: Any, device_type: str = "cpu", device_id: int = 0) -> Any:
            asked.copies.append(("in", device_type, device_id))
            return _Value.ortvalue_from_numpy(array.copy())

    class Binding(_Binding):  # type: ignore[misc]
        def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
            raise AssertionError("an input was bound where it lies, on the processor")

        def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0) -> None:
            asked.copies.append(("out", device_type, device_id))
            super().bind_output(name)

    class Session(_Session):  # type: ignore[misc]
        def __init__(self, path: str, settings: Any, *, providers: Any, enable_fallback: int = 1) -> None:
            ((name, options),) = providers
            asked.providers.append((name, dict(options)))
            asked.fallback.append(enable_fallback)
            for key in ("session.disable_cpu_ep_fallback", "session.record_ep_graph_assignment_info"):
                if _configured(settings, key):
                    asked.configured[key] = _configured(settings, key)
            if asked.refusal is not None and _configured(settings, "session.disable_cpu_ep_fallback"):
                raise asked.refusal
            plain = onnxruntime.SessionOptions()
            if _configured(settings, "session.record_ep_graph_assignment_info"):
                plain.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
            for file, content in asked.written.items():
                (Path(options["trt_engine_cache_path"]) / file).write_bytes(content)
            on_processor = name == "CPUExecutionProvider"
            super().__init__(path, settings if on_processor else plain, providers=["CPUExecutionProvider"])
            self._providers = [name] if on_processor else [name, "CPUExecutionProvider"]

        def io_binding(self) -> Any:
            return Binding(self)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: PROVIDERS)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "OrtValue", Value)
    for module in (onnxruntime_devices, onnxruntime_engine, onnxruntime_libraries):
        monkeypatch.setattr(module, "nvidia_driver", lambda: driver)
    return asked


def _configured(settings: Any, key: str) -> str:
    try:
        return str(settings.get_session_config_entry(key))
    except RuntimeError:  # it has none of that name
        return ""
