"""What an NVIDIA GPU is doing, by its driver's own library (NVML, from the package nvidia-ml-py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from u2forge.engine.engine_entry import NVIDIA_KINDS, device_kind
from u2forge.engine.nvidia_driver import CudaGpu, cuda_number, nvidia_driver

# What engines call it; other GPU names (OpenVINO's GPU.0) are of any maker.
_DEVICES = (*NVIDIA_KINDS, "nvidia")


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
    kind = device_kind(device)
    return kind in _DEVICES or (kind == "gpu" and "nvidia" in device_name.lower())


def open_nvidia_gpu(device: str) -> NvidiaGpu | None:
    """The GPU that an engine calls by that name; None without one, its driver or the package, and where there are
    several and the name does not say which.

    Which one is meant, CUDA's own driver says: it alone knows how CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER are read,
    and which slice of a GPU (MIG) a process runs on. NVML counts otherwise.
    """
    driver = nvidia_driver()
    meant = None if driver is None else _meant(driver.gpus, device)
    if meant is None:
        return None
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    handle = _handle(nvml, meant)
    gpu = NvidiaGpu(nvml, handle)
    if handle is None:
        gpu.close()
        return None
    return gpu


def _meant(gpus: Sequence[CudaGpu], device: str) -> CudaGpu | None:
    number = cuda_number(device)
    if device_kind(device) == "gpu":
        # OpenVINO counts the GPUs of all makers.
        number = 0 if len(gpus) == 1 else None
    return gpus[number] if number is not None and number < len(gpus) else None


def _handle(nvml: Any, gpu: CudaGpu) -> Any:
    """NVML's handle of the GPU, or of the slice of one, that tells its own memory only; None where it knows neither."""
    for prefix in ("GPU", "MIG"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(f"{prefix}-{gpu.uuid}")
        except nvml.NVMLError:
            continue
    return None
