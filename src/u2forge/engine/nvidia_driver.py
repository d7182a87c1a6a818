"""NVIDIA's driver, by its own library: which CUDA it runs, and the GPUs that programs of this process may use."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple
from uuid import UUID

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
# What cuInit answers where something is amiss (CUresult of the CUDA driver API), in words.
_PROBLEMS = {
    100: "it finds no GPU that this process may use",
    802: "the system is not ready: NVLink's fabric manager does not run",
    803: "its library and its kernel module are of different versions",
    804: "its library is a newer one than this GPU may be used with",
}
_NAME_BYTES = 256


class CudaGpu(NamedTuple):
    """uuid: without the prefix GPU- or MIG- that NVML puts before it."""

    name: str
    uuid: UUID


class NvidiaDriver(NamedTuple):
    """cuda: the newest version it runs, major and minor; gpus: in the order of CUDA's own numbers, by which
    CUDA_VISIBLE_DEVICES counts too; problem: why there are none, None where it works."""

    cuda: tuple[int, int]
    gpus: tuple[CudaGpu, ...]
    problem: str | None = None


def nvidia_driver() -> NvidiaDriver | None:
    """What the driver says; None where this machine has none. Takes no memory of a GPU."""
    try:
        cuda: Any = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    failure = cuda.cuInit(0)
    version = ctypes.c_int(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    newest = (version.value // 1000, version.value % 1000 // 10)
    if failure:
        return NvidiaDriver(newest, (), _PROBLEMS.get(failure, f"it does not start (CUDA error {failure})"))
    count = ctypes.c_int(0)
    cuda.cuDeviceGetCount(ctypes.byref(count))
    gpus = tuple(_gpu(cuda, index) for index in range(count.value))
    return NvidiaDriver(newest, gpus, None if gpus else _PROBLEMS[100])


def cuda_number(device: str) -> int | None:
    """The number in the name of a device, 0 where it has none (cuda, cuda:1, cuda:1/bfloat16, NVIDIA.1); None where
    what stands there is no number."""
    number = device.partition("/")[0].replace(".", ":").partition(":")[2]
    if not number:
        return 0
    return int(number) if number.isascii() and number.isdigit() else None


def _gpu(cuda: Any, index: int) -> CudaGpu:
    handle = ctypes.c_int(0)
    cuda.cuDeviceGet(ctypes.byref(handle), index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    cuda.cuDeviceGetName(name, _NAME_BYTES, handle)
    uuid = (ctypes.c_ubyte * 16)()
    # Of a slice of a GPU (MIG) it tells the slice's, where the first version of this call tells the whole GPU's.
    cuda.cuDeviceGetUuid_v2(ctypes.byref(uuid), handle)
    return CudaGpu(name.value.decode(errors="replace"), UUID(bytes=bytes(uuid)))
