"""The devices of the engine `cuda` by name, and what arithmetic each of them means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from u2forge.engine.processor import processor_name
from u2forge.errors import EngineError, InputError
from u2forge.precision import PrecisionMode, float_type

NAME = "cuda"
_CPU = "cpu"
_BFLOAT16, _TENSORFLOAT32 = "bfloat16", "tensorfloat32"
_ARITHMETICS = (_BFLOAT16, _TENSORFLOAT32)
_NAMES = re.compile(rf"(?P<device>auto|{NAME}(:[0-9]+)?|{_CPU})(?P<suffix>/({'|'.join(_ARITHMETICS)}))?")


@dataclass(frozen=True)
class Arithmetic:
    """What convolutions multiply in. tensorfloat32: float32 whose products keep 10 bits of the mantissa."""

    dtype: torch.dtype
    tensorfloat32: bool = False

    @property
    def name(self) -> str:
        """As EngineInfo.precision_executed says it."""
        return _TENSORFLOAT32 if self.tensorfloat32 else str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class GpuDevice:
    """name: as EngineInfo.device says it. suffix: the arithmetic that was asked for beside the model's, or None."""

    name: str
    torch_device: torch.device
    suffix: str | None

    @property
    def is_gpu(self) -> bool:
        """Whether it is one; else it is the processor, the reference of the GPU's numbers."""
        return self.torch_device.type == "cuda"

    @property
    def full_name(self) -> str:
        """What the device calls itself."""
        if self.is_gpu:
            return str(torch.cuda.get_device_name(self.torch_device))
        return f"{processor_name()} (the reference of a GPU's numbers)"

    def arithmetic(self, mode: PrecisionMode) -> Arithmetic:
        """What a model of that precision runs in here: bfloat16 in place of float16, tensorfloat32 in place of float32,
        where the device's name says so. Integers of quantized models are rounded to, and multiplied as floats."""
        if float_type(mode) == "float16":
            return Arithmetic(torch.bfloat16 if self.suffix == _BFLOAT16 else torch.float16)
        return Arithmetic(torch.float32, tensorfloat32=self.suffix == _TENSORFLOAT32)


def gpu_devices() -> list[str]:
    """Each GPU and each arithmetic that it can be asked for, then the processor."""
    names = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        names += [f"{NAME}:{index}", *(f"{NAME}:{index}/{suffix}" for suffix in _suffixes(index))]
    return [*names, _CPU, f"{_CPU}/{_BFLOAT16}"]


def _suffixes(index: int) -> list[str]:
    major, _ = torch.cuda.get_device_capability(index)
    # Both came with Ampere; PyTorch emulates bfloat16 before it.
    return list(_ARITHMETICS) if major >= 8 else []


def find_device(devices: Sequence[str], asked: str) -> str:
    """The name in `devices` of the device asked for: the first GPU for auto and cuda. Raises InputError on a name of no
    device, EngineError where it is not there; the processor is never taken in place of a GPU."""
    found = _NAMES.fullmatch(asked.lower())
    if found is None:
        raise InputError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"{NAME}, {NAME}:N or {_CPU}, and behind it perhaps /{' or /'.join(_ARITHMETICS)}",
            found="another name",
            fix=f"choose one that is there: {', '.join(devices)}",
        )
    device = f"{NAME}:0" if found["device"] in ("auto", NAME) else found["device"]
    name = device + (found["suffix"] or "")
    if name in devices:
        return name
    if device in devices:
        raise EngineError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(devices)}",
            found=f"a device that does not multiply {name.partition('/')[2]}",
            fix=f"leave {found['suffix']} out",
        )
    present = [each for each in devices if each.startswith(f"{NAME}:")]
    if present:
        raise EngineError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(present)}",
            found="no such GPU",
            fix="choose one of these, or look at CUDA_VISIBLE_DEVICES, which hides all others",
        )
    raise EngineError(
        where=f"engine {NAME!r}, device {asked!r}",
        expected="an NVIDIA GPU that PyTorch can use",
        found=why_no_gpu(),
        fix=_mend(),
    )


def why_no_gpu() -> str:
    """Why PyTorch uses no GPU here."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__}, which is built without CUDA"
    try:
        torch.cuda.init()
    except Exception as error:  # it raises several kinds
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return "no GPU: CUDA_VISIBLE_DEVICES may hide it"


def _mend() -> str:
    if torch.version.cuda is None:
        return (
            "install a PyTorch for CUDA (https://pytorch.org/get-started/locally), or choose another engine"
        )
    return "install or renew NVIDIA's driver (`nvidia-smi` must list the GPU), or choose another engine"


def open_device(name: str) -> GpuDevice:
    """The device of that name, one of gpu_devices."""
    device, _, suffix = name.partition("/")
    return GpuDevice(name, torch.device(device), suffix or None)
