"""PooledEngine: what the engines share: one thread for each stream, futures for the results."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from u2forge.engine.protocol import EngineInfo, Tensors
from u2forge.errors import EngineError, InputError

Request = TypeVar("Request")
Answer = dict[str, NDArray[Any]]


class PooledEngine(Generic[Request]):
    """An Engine that runs `infer(request, inputs)` in as many threads as there are requests, each request in one
    thread at a time. infer: all of info.outputs by name, in arrays that the caller may keep."""

    def __init__(
        self, info: EngineInfo, requests: list[Request], infer: Callable[[Request, Tensors], Answer]
    ) -> None:
        self.info = info
        self._infer = infer
        self._idle: SimpleQueue[Request] = SimpleQueue()
        for request in requests:
            self._idle.put(request)
        self._threads = ThreadPoolExecutor(len(requests), thread_name_prefix=f"u2forge-{info.engine}")

    def run(self, inputs: Tensors) -> Answer:
        """See Engine.run."""
        return self.submit(inputs).result()

    def submit(self, inputs: Tensors) -> Future[Answer]:
        """See Engine.submit. Raises InputError where the inputs do not fit, EngineError after close."""
        check_inputs(self.info, inputs)
        try:
            return self._threads.submit(self._run, inputs)
        except RuntimeError as error:  # after close
            raise EngineError(
                where=f"engine {self.info.engine!r}",
                expected="an open engine",
                found="a closed one",
                fix="open it again",
            ) from error

    def close(self) -> None:
        """See Engine.close."""
        self._threads.shutdown(wait=True)
        while not self._idle.empty():
            self._idle.get()

    def _run(self, inputs: Tensors) -> Answer:
        request = self._idle.get()
        try:
            return self._infer(request, inputs)
        except Exception as error:
            raise EngineError(
                where=f"engine {self.info.engine!r} on {self.info.device}, inference",
                expected="an answer",
                found=str(error).strip()[:500] or type(error).__name__,
                fix="try a smaller batch or another engine",
            ) from error
        finally:
            self._idle.put(request)


def check_inputs(info: EngineInfo, inputs: Tensors) -> None:
    """Raises InputError unless there is one fitting array for each of the model's inputs."""
    names = [spec.name for spec in info.inputs]
    if sorted(inputs) != sorted(names):
        raise InputError(
            where=f"engine {info.engine!r}, inputs",
            expected=f"arrays for {', '.join(names)}",
            found=", ".join(inputs) or "none",
            fix="name each input of the model once",
        )
    for spec in info.inputs:
        spec.check(inputs[spec.name], where=f"engine {info.engine!r}")
