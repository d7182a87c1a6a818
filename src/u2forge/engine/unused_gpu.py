"""What to say where an NVIDIA GPU is there, and no installed engine runs on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from u2forge.engine.engine_entry import NVIDIA_KINDS, EngineEntry, device_kind
from u2forge.engine.nvidia_driver import nvidia_driver

if TYPE_CHECKING:
    from u2forge.engine.availability import DeviceStatus


def unused_gpu() -> str | None:
    """The GPUs and what their driver runs, in words; None without them or their driver."""
    driver = nvidia_driver()
    if driver is None:
        return None
    major, minor = driver.cuda
    if driver.problem is not None:
        return f"a driver of NVIDIA's is there, but {driver.problem}"
    names = ", ".join(dict.fromkeys(gpu.name for gpu in driver.gpus))
    return f"{names}, with a driver for CUDA {major}.{minor}, is not used"


def runs_on_gpu(devices: Iterable[DeviceStatus]) -> bool:
    """Whether one of these devices is an NVIDIA GPU that ran in any precision."""
    return any(device_kind(one.device) in NVIDIA_KINDS and one.runs for one in devices)


def note_of_unused(entry: EngineEntry, gpu: str) -> str | None:
    """What that engine's line says of it; None of one that has no such devices."""
    return None if entry.nvidia_install is None else f"{gpu}; to use it: {entry.nvidia_install}"
