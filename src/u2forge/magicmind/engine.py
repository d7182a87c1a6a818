"""Engine and Context: an opened model, and what enqueues its inferences."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from u2forge.engine.protocol import Engine as OpenedEngine
from u2forge.errors import EngineError, InputError, U2ForgeError
from u2forge.magicmind.devices import LocalDevice
from u2forge.magicmind.status import PreconditionError, Status, status_of
from u2forge.magicmind.task_queue import Queue
from u2forge.magicmind.tensor import Tensor
from u2forge.model_file.manifest import Manifest


class Engine:
    """Made by Model.create_i_engine. Its contexts share one compiled model, whose inferences follow each other."""

    def __init__(self, opened: OpenedEngine, manifest: Manifest, device: LocalDevice) -> None:
        self.opened = opened
        self.manifest = manifest
        self.device = device
        # What was submitted is waited for; also at the end of the program.
        self._finalizer = weakref.finalize(self, opened.close)

    def create_i_context(self) -> Context | None:
        """A context of its own for each thread, say."""
        return Context(self)


class Context:
    """Several threads may have one each, or share one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_inputs(self) -> list[Tensor]:
        """A tensor for each input of the model, in its order."""
        return [Tensor(spec) for spec in self._engine.manifest.inputs]

    def enqueue(self, inputs: Sequence[Tensor], outputs: list[Tensor], queue: Queue | None) -> Status:
        """Enqueues an inference and returns; `outputs` then holds a tensor for each output, to be read after sync."""
        return status_of(lambda: self._enqueue(inputs, outputs, queue))

    def _enqueue(self, inputs: Sequence[Tensor], outputs: list[Tensor], queue: Queue | None) -> None:
        queue = self._checked_queue(queue)
        manifest = self._engine.manifest
        if not isinstance(outputs, list):
            raise _wrong("outputs", "a list to fill", type(outputs).__name__, "write outputs = [] before")
        if len(inputs) != len(manifest.inputs) or not all(isinstance(one, Tensor) for one in inputs):
            raise _wrong(
                "inputs",
                f"{len(manifest.inputs)} tensors of create_inputs()",
                f"{len(inputs)}: {', '.join(type(one).__name__ for one in inputs)}",
                "pass the list that context.create_inputs() returned",
            )
        arrays = {}
        for spec, tensor in zip(manifest.inputs, inputs, strict=True):
            try:
                arrays[spec.name] = tensor.asnumpy()
            except EngineError as error:
                raise _wrong(
                    "inputs", "results of inferences that ended", str(error), "mend that first"
                ) from error
            spec.check(arrays[spec.name], where="enqueue")
        self._check_ranges({name: array.shape for name, array in arrays.items()})
        answer = queue.add(lambda: self._engine.opened.submit(arrays))
        outputs[:] = [Tensor(spec, answer=answer) for spec in manifest.outputs]

    def _checked_queue(self, queue: Queue | None) -> Queue:
        if not isinstance(queue, Queue):
            raise PreconditionError(
                where="enqueue, argument 'queue'",
                expected="a queue of the engine's device",
                found="None" if queue is None else type(queue).__name__,
                fix="call device.active(), then device.create_queue()",
            )
        if queue.device != self._engine.device:
            raise PreconditionError(
                where="enqueue, argument 'queue'",
                expected=f"a queue of {self._engine.device}, for which the engine was made",
                found=f"one of {queue.device}",
                fix="make engine and queue after the same device.active()",
            )
        return queue

    def _check_ranges(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for found in self._engine.manifest.shape_ranges:
            shape = shapes[found.name]
            limits = zip(found.smallest, shape, found.largest, strict=True)
            if not all(low <= size <= high for low, size, high in limits):
                raise _wrong(
                    f"inputs, tensor {found.name!r}",
                    f"sizes from {found.smallest} to {found.largest}, as dim_range said",
                    f"{shape}",
                    "fill the batch differently, or build the model with another dim_range",
                )


def _wrong(argument: str, expected: str, found: str, fix: str) -> U2ForgeError:
    return InputError(where=f"enqueue, {argument}", expected=expected, found=found, fix=fix)
