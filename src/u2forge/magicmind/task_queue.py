"""Queue: what was enqueued and not waited for yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from u2forge.errors import EngineError, U2ForgeError
from u2forge.magicmind.devices import LocalDevice
from u2forge.magicmind.status import Status, failed


class Queue:
    """Made by Device.create_queue. Several threads may use it."""

    def __init__(self, device: LocalDevice) -> None:
        self.device = device
        self._lock = threading.Lock()
        self._pending: list[Future[Any]] = []

    def add(self, submit: Callable[[], Future[Any]]) -> Future[Any]:
        """Submits, in the order of the calls. Raises what submitting raises."""
        with self._lock:
            future = submit()
            # A program may never wait: what has its answer is the tensors' alone.
            self._pending = [*(old for old in self._pending if not _has_answer(old)), future]
        return future

    def sync(self) -> Status:
        """Waits for all that was enqueued before; OK, or the Status of the first inference that failed."""
        with self._lock:
            pending, self._pending = self._pending, []
        status = Status.OK()
        for future in pending:
            error = future.exception()
            if error is not None and status.ok():
                status = failed(inference_error(error))
        return status


def _has_answer(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def inference_error(error: BaseException) -> U2ForgeError:
    """The error itself where it is one of ours. Raises it where it ends the program."""
    if isinstance(error, U2ForgeError):
        return error
    if not isinstance(error, Exception):
        raise error
    return EngineError(
        where="queue, inference",
        expected="an answer",
        found=f"{type(error).__name__}: {error}"[:300],
        fix="try a smaller batch or another engine",
    )
