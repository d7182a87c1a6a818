"""What an NVIDIA GPU is doing, by its driver's own library (NVML, from the package nvidia-ml-py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_ORDER = "CUDA_DEVICE_ORDER"
# What engines call it; other GPU names (OpenVINO's GPU.0) are of any maker.
_DEVICES = ("cuda", "tensorrt", "nvidia")


class NvidiaGpu:
    """One GPU, read through an initialized NVML until it is closed."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def read(self) -> dict[str, float | None]:
        """Load, memory, power and temperature of the whole GPU, by the names of UTILIZATION; None where it does not
        tell."""
        nvml, handle = self._nvml, self._handle
        return {
            "gpu_percent": self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            "gpu_memory_mb": self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / 1e6),
            "gpu_power_w": self._told(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "gpu_temperature_c": self._told(
                lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            ),
        }

    def close(self) -> None:
        """Lets go of NVML."""
        self._told(self._nvml.nvmlShutdown)

    def _told(self, ask: Callable[[], Any]) -> float | None:
        try:
            answer = ask()
        except self._nvml.NVMLError:
            return None
        return None if answer is None else float(answer)


def runs_on_nvidia(device: str, *, device_name: str) -> bool:
    """Whether that device, as an open engine names it, is an NVIDIA GPU. device_name: what the device calls itself."""
    kind = device.lower().split(".")[0].split(":")[0]
    return kind in _DEVICES or (kind == "gpu" and "nvidia" in device_name.lower())


def open_nvidia_gpu() -> NvidiaGpu | None:
    """The GPU that CUDA programs run on; None without one, its driver or the package, and where there are several and
    the environment does not say which."""
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        handle = _chosen(nvml)
    except nvml.NVMLError:
        handle = None
    gpu = NvidiaGpu(nvml, handle)
    if handle is None:
        gpu.close()
        return None
    return gpu


def _chosen(nvml: Any) -> Any:
    """The handle of the first GPU that CUDA may use, or None. NVML counts in the order of the bus; CUDA does so only
    where it is told."""
    first = os.environ.get(_VISIBLE, "").split(",")[0].strip()
    if first.startswith("GPU-"):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    if nvml.nvmlDeviceGetCount() == 1 and first in ("", "0"):
        return nvml.nvmlDeviceGetHandleByIndex(0)
    if os.environ.get(_ORDER) == "PCI_BUS_ID" and (first.isdecimal() or _VISIBLE not in os.environ):
        return nvml.nvmlDeviceGetHandleByIndex(int(first or 0))
    return None
