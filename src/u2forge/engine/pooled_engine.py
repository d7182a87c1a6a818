"""PooledEngine: what the engines share: a request for each stream, threads and futures for what is submitted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.protocol import EngineInfo, Phases, Tensors
from u2forge.errors import EngineError, InputError, U2ForgeError

Request = TypeVar("Request")
Result = TypeVar("Result")
Answer = dict[str, NDArray[Any]]


class PooledEngine(Generic[Request]):
    """An Engine that runs `infer(request, inputs, phases)` on info.streams requests, each in one thread at a time.

    infer: all of info.outputs by name, in arrays that the caller may keep; it fills phases in where they are given.
    """

    def __init__(
        self,
        info: EngineInfo,
        new_request: Callable[[], Request],
        infer: Callable[[Request, Tensors, Phases], Answer],
        *,
        requests: int | None = None,
    ) -> None:
        """requests: how many, one for each stream where that is not given."""
        start = time.perf_counter()
        made = [new_request() for _ in range(requests or info.streams)]
        contexts_ms = ms_since(start)
        self.info = replace(info, opening_ms={**info.opening_ms, "contexts": contexts_ms})
        # None, once closed: it holds the compiled model.
        self._infer: Callable[[Request, Tensors, Phases], Answer] | None = infer
        # With a None in it, once closed: it passes from one that waits to the next.
        self._idle: SimpleQueue[Request | None] = SimpleQueue()
        for request in made:
            self._idle.put(request)
        self._requests = len(made)
        self._threads = ThreadPoolExecutor(len(made), thread_name_prefix=f"u2forge-{info.engine}")
        self._closing = threading.Lock()
        self._ended: list[Request | None] = []
        self._closed = False

    def run(self, inputs: Tensors, *, phases: Phases | None = None) -> Answer:
        """See Engine.run. In the caller's own thread: handing over to another costs 0.05 ms."""
        check_inputs(self.info, inputs)
        if self._closed:
            raise self._closed_error()
        return self._run(inputs, phases)

    def submit(self, inputs: Tensors) -> Future[Answer]:
        """See Engine.submit. Raises InputError where the inputs do not fit, EngineError after close."""
        check_inputs(self.info, inputs)
        return self._submitted(lambda: self._run(inputs))

    def submit_call(self, call: Callable[[Request], Result]) -> Future[Result]:
        """What the call gives, which has a request for itself while it runs. Raises EngineError after close; the future
        gives whatever goes wrong as one, too."""

        def answer(request: Request | None) -> Result:
            if request is None:
                raise self._closed_error()
            return call(request)

        return self._submitted(lambda: self._with_request(answer))

    def _submitted(self, work: Callable[[], Result]) -> Future[Result]:
        try:
            return self._threads.submit(work)
        except RuntimeError as error:  # after close
            raise self._closed_error() from error

    def close(self) -> None:
        """See Engine.close. Interrupted, it can be called again, and ends what it began."""
        self._closed = True
        self._threads.shutdown(wait=True)
        with self._closing:
            if self._infer is None:
                return
            while len(self._ended) < self._requests:
                self._take_into(self._ended)
            self._idle.put(None)
            self._infer = None
            self._ended.clear()

    def _run(self, inputs: Tensors, phases: Phases | None = None) -> Answer:
        timed = Phases() if phases is None else phases

        def answer(request: Request | None) -> Answer:
            if request is None or self._infer is None:
                raise self._closed_error()
            return self._infer(request, inputs, timed)

        return self._with_request(answer)

    def _with_request(self, work: Callable[[Request | None], Result]) -> Result:
        taken: list[Request | None] = []
        try:
            self._take_into(taken)
            return self._answered(work, taken[0])
        finally:
            # The first call here is C code too: no interrupt comes before it.
            if taken:
                self._idle.put(taken[0])

    def _take_into(self, taken: list[Request | None]) -> None:
        """Waits for an idle request, and appends it. A Ctrl-C in the caller's thread comes between two calls of Python
        or C code: in one call of C code a request is always either idle or taken, and never lost."""
        taken.extend(map(self._idle.get, (True,)))

    def _answered(self, work: Callable[[Request | None], Result], request: Request | None) -> Result:
        try:
            return work(request)
        except U2ForgeError:
            raise
        except Exception as error:
            raise EngineError(
                where=f"engine {self.info.engine!r} on {self.info.device}, inference",
                expected="an answer",
                found=str(error).strip()[:500] or type(error).__name__,
                fix="try a smaller batch or another engine",
            ) from error

    def _closed_error(self) -> EngineError:
        return EngineError(
            where=f"engine {self.info.engine!r}",
            expected="an open engine",
            found="a closed one",
            fix="open it again",
        )


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
