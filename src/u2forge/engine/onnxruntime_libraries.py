"""The libraries behind ONNX Runtime's providers for NVIDIA's GPUs: found and loaded before a session needs them, or the
reason why not."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import logging
import sys
from functools import cache
from pathlib import Path

from u2forge.engine.nvidia_driver import NvidiaDriver, nvidia_driver
from u2forge.engine.onnxruntime_devices import GPU_INSTALL, NAME, Device
from u2forge.errors import EngineError

_log = logging.getLogger(__name__)

_TENSORRT_PACKAGE = "tensorrt_libs"


def check_libraries(device: Device) -> None:
    """Raises EngineError where the device's provider would not load, and says what is missing.

    ONNX Runtime itself tells its reason on stderr only, and raises one that hides it: it lists a provider that it was
    built with, whether or not its libraries are there.
    """
    if not device.provider.is_nvidia:
        return
    driver = nvidia_driver()
    if driver is None:
        raise _unusable(device, "no driver of NVIDIA's on this machine", "install the GPU's driver")
    _check_driver(device, driver)
    _preload()
    missing = _missing_library(device)
    if missing is not None:
        raise _unusable(device, missing, _install(device, missing))


def _check_driver(device: Device, driver: NvidiaDriver) -> None:
    if driver.problem is not None:
        raise _unusable(
            device,
            f"NVIDIA's driver, but {driver.problem}",
            "look at it with `nvidia-smi`, and at CUDA_VISIBLE_DEVICES",
        )
    built_with = _built_with()
    # Drivers run older majors, and by NVIDIA's rules of compatibility all minors of their own.
    if built_with is not None and driver.cuda[0] < built_with:
        raise _unusable(
            device,
            f"a driver for CUDA {driver.cuda[0]}.{driver.cuda[1]}, and an ONNX Runtime built with CUDA {built_with}",
            f"update the driver, or install an onnxruntime-gpu that was built with CUDA {driver.cuda[0]}",
        )
    if device.number >= len(driver.gpus):
        names = ", ".join(gpu.name for gpu in driver.gpus)
        raise _unusable(device, f"{len(driver.gpus)} of them: {names}", "choose a smaller number")


def _built_with() -> int | None:
    """The major version of CUDA that the installed build is for; None where it does not say."""
    import onnxruntime

    major = str(getattr(onnxruntime, "cuda_version", None) or "").partition(".")[0]
    return int(major) if major.isdigit() else None


@cache
def _preload() -> None:
    """Loads what pip's packages of NVIDIA's bring, which no loader's path leads to."""
    import onnxruntime

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(Exception):
        # Since ONNX Runtime 1.21; it prints what it does not find.
        onnxruntime.preload_dlls()
    with contextlib.suppress(Exception):
        # As its own package does when it is imported: each of its libraries is loaded.
        importlib.import_module(_TENSORRT_PACKAGE)
    if said.getvalue():
        _log.debug("onnxruntime.preload_dlls: %s", said.getvalue().strip())


def _missing_library(device: Device) -> str | None:
    """What the system's loader says of the provider's library, None where it loads or the build has none of its own."""
    import onnxruntime

    if sys.platform == "win32":  # there it is searched for in other places than ONNX Runtime's
        return None
    folder = Path(onnxruntime.__file__).parent / "capi"
    library = folder / f"libonnxruntime_providers_{device.kind}.so"
    if not library.is_file():
        return None
    try:
        # Its symbols are the provider's, which names no library for them.
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return None


def _install(device: Device, missing: str) -> str:
    if device.kind == "tensorrt" and "libnv" in missing:
        return "install the TensorRT that this ONNX Runtime was built with, so that its libraries are found"
    return GPU_INSTALL


def _unusable(device: Device, found: str, fix: str) -> EngineError:
    return EngineError(
        where=f"engine {NAME!r}, device {device.name!r}",
        expected=f"a GPU that {device.provider.name} runs on",
        found=found,
        fix=f"{fix}, or choose another device",
    )
