"""What every engine is: opened on a model file, run or submitted to, closed; and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from u2forge.errors import InputError
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, NDArray[Any]]
# What a DeviceEngine runs on its device beside the network, on tensors that lie there: the arrays as they came → the
# model's inputs by name; the model's outputs by name → what goes back.
BeforeNetwork = Callable[["Sequence[torch.Tensor]"], "Mapping[str, torch.Tensor]"]
AfterNetwork = Callable[["Mapping[str, torch.Tensor]"], "Sequence[torch.Tensor]"]


@dataclass(frozen=True)
class EngineOptions:
    """How to open an engine. device: auto, or a name that `u2forge engines` lists.

    threads: processor threads in all, None for as many as this process may use.
    streams: inferences that run side by side; on a processor no more than threads.
    cache_folder: for compiled models (at most 4, about 0.7 GB for the full network), None to keep nothing.
    """

    device: str = "auto"
    threads: int | None = None
    streams: int = 1
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        """Raises InputError where threads or streams are not whole numbers of at least 1."""
        for name, value in (("threads", self.threads), ("streams", self.streams)):
            if value is None and name == "threads":
                continue
            if type(value) is not int or value < 1:
                raise InputError(
                    where=f"engine options, {name}",
                    expected="a whole number of at least 1" + (", or none" if name == "threads" else ""),
                    found=repr(value),
                    fix=f"give --{name} 1 or more",
                )


@dataclass(frozen=True)
class EngineInfo:
    """What really runs. precision_executed: float32, bfloat16, float16, int8 or int16, as the engine reports it
    for the convolutions after compilation (the one that most of them run in); precision_counts: all of them.
    opening_ms: how long it took to open, by step: `engine` (the compiled graph; of an 8-bit one on ONNX Runtime with
    the writing of the optimized graph, which tells the precision), `contexts` (the memory of streams)."""

    engine: str
    version: str
    device: str
    device_name: str
    precision_asked: str
    precision_executed: str
    precision_counts: Mapping[str, int]
    threads: int
    streams: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opening_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Phases:
    """Where an engine notes how long the parts of one inference took, in milliseconds; None: it cannot tell them apart.

    host_to_device: the inputs handed over, copied only where the device needs it; enqueue: the inference accepted;
    compute: from there to its end; device_to_host: the outputs copied into the caller's arrays.
    """

    host_to_device_ms: float | None = None
    enqueue_ms: float | None = None
    compute_ms: float | None = None
    device_to_host_ms: float | None = None


class Engine(Protocol):
    """A model, compiled and ready. Safe to call from several threads."""

    info: EngineInfo

    def run(self, inputs: Tensors, *, phases: Phases | None = None) -> dict[str, NDArray[Any]]:
        """All outputs by name, in the order of info.outputs; the arrays belong to the caller.
        phases: is filled in. Raises InputError where an input does not fit info.inputs."""
        ...

    def submit(self, inputs: Tensors) -> Future[dict[str, NDArray[Any]]]:
        """The same, asynchronously: up to info.streams run at once, more wait their turn."""
        ...

    def close(self) -> None:
        """Frees the compiled model; waits for what was submitted. A second call does nothing."""
        ...


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine whose device can also do what goes before and after the network."""

    def submit_between(
        self, arrays: Sequence[NDArray[Any]], *, before: BeforeNetwork, after: AfterNetwork
    ) -> Future[list[NDArray[Any]]]:
        """What `after` gives, in its order, in arrays that belong to the caller: the arrays are copied to the device,
        `before` makes the model's inputs of them there, the network runs, and only what `after` makes of its outputs is
        copied back. Both must be free of waiting for the device. As asynchronous as submit."""
        ...
