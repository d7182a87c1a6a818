"""Doubles of NVIDIA's driver: its library as ctypes would load it, and what nvidia_driver says of one."""

from __future__ import annotations

import ctypes
from typing import Any
from uuid import UUID

from u2forge.engine.nvidia_driver import CudaGpu, NvidiaDriver

FIRST, SECOND = UUID(int=0x8F5A << 112), UUID(int=0x11 << 120)


def driver(*names: str, cuda: tuple[int, int] = (13, 0), problem: str | None = None) -> NvidiaDriver:
    """A driver with GPUs of these names, numbered by FIRST, SECOND."""
    gpus = tuple(CudaGpu(name, uuid) for name, uuid in zip(names, (FIRST, SECOND), strict=False))
    return NvidiaDriver(cuda, gpus, problem)


class CudaLibrary:
    """What of the CUDA driver API is used, by its C signatures."""

    def __init__(self, *names: str, version: int = 13000, failure: int = 0) -> None:
        self._names = names
        self._version = version
        self._failure = failure

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self._failure

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self._version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        assert not self._failure
        count._obj.value = len(self._names)
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = 7 + ordinal
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: ctypes.c_int) -> int:
        name.value = self._names[device.value - 7].encode()[: length - 1]
        return 0

    def cuDeviceGetUuid_v2(self, uuid: Any, device: ctypes.c_int) -> int:
        uuid._obj[:] = (FIRST, SECOND)[device.value - 7].bytes
        return 0
