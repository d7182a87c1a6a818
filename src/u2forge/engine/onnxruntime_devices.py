"""The names of ONNX Runtime's devices, and the provider that stands for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from u2forge.engine.nvidia_driver import cuda_number, nvidia_driver
from u2forge.errors import EngineError, InputError

NAME = "onnxruntime"
CPU_PROVIDER = "CPUExecutionProvider"
GPU_INSTALL = "run `pip uninstall onnxruntime`, then `pip install 'onnxruntime-gpu[cuda,cudnn]'`"


class Provider(NamedTuple):
    """One provider of ONNX Runtime. install: what to do where the installed build has none such."""

    name: str
    install: str
    is_nvidia: bool = False


PROVIDERS = {
    "cpu": Provider(CPU_PROVIDER, "run `pip install onnxruntime`"),
    "cuda": Provider("CUDAExecutionProvider", GPU_INSTALL, is_nvidia=True),
    "tensorrt": Provider(
        "TensorrtExecutionProvider", f"{GPU_INSTALL}, and TensorRT's libraries", is_nvidia=True
    ),
    "coreml": Provider("CoreMLExecutionProvider", "run `pip install onnxruntime` on macOS"),
    "directml": Provider(
        "DmlExecutionProvider", "run `pip uninstall onnxruntime`, then `pip install onnxruntime-directml`"
    ),
}


class Device(NamedTuple):
    """A device by its name. kind: a key of PROVIDERS; number: which of several GPUs, as CUDA counts them."""

    name: str
    kind: str
    number: int

    @property
    def provider(self) -> Provider:
        """The provider that runs on it."""
        return PROVIDERS[self.kind]


def onnxruntime_devices() -> list[str]:
    """The devices that the installed ONNX Runtime has a provider for; NVIDIA's once for each GPU, cuda:0, cuda:1, …,
    and by their bare name where the driver counts none."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    present = [kind for kind, provider in PROVIDERS.items() if provider.name in available]
    return list(_each_gpu(present))


def find_device(present: Sequence[str], asked: str) -> str:
    """The device asked for by its name in `present`: cpu for auto, the first GPU where no number is said.

    Raises InputError on an unknown name, EngineError on a missing device.
    """
    name = "cpu" if asked == "auto" else asked.lower()
    kind = name.partition(":")[0]
    number = cuda_number(name)
    if kind not in PROVIDERS or number is None or (":" in name and not PROVIDERS[kind].is_nvidia):
        raise InputError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(_forms())}",
            found="an unknown name",
            fix=f"choose one that is there: {', '.join(present)}",
        )
    for one in (f"{kind}:{number}", kind):
        if one in present:
            return one if number == 0 else f"{kind}:{number}"
    has_provider = any(other.partition(":")[0] == kind for other in present)
    raise EngineError(
        where=f"engine {NAME!r}, device {asked!r}",
        expected=f"one of {', '.join(present)}, which the installed ONNX Runtime has",
        found="no such GPU" if has_provider else f"no {PROVIDERS[kind].name} in it",
        fix="choose one of them" if has_provider else f"{PROVIDERS[kind].install}, or choose another device",
    )


def device_of(name: str) -> Device:
    """The device of a name that find_device gave."""
    return Device(name, name.partition(":")[0], cuda_number(name) or 0)


def _each_gpu(kinds: Sequence[str]) -> Iterator[str]:
    nvidia = any(PROVIDERS[kind].is_nvidia for kind in kinds)
    driver = nvidia_driver() if nvidia else None
    gpus = range(0 if driver is None else len(driver.gpus))
    for kind in kinds:
        if PROVIDERS[kind].is_nvidia and gpus:
            yield from (f"{kind}:{number}" for number in gpus)
        else:
            yield kind


def _forms() -> Iterator[str]:
    for kind, provider in PROVIDERS.items():
        yield kind
        if provider.is_nvidia:
            yield f"{kind}:NUMBER"
