"""magicmind.python.runtime, as far as u2forge uses it: values and devices; the rest is in modules beside it."""

from __future__ import annotations

import enum
import weakref
from typing import Any

from magicmind.recorder import RECORDER


class Code(enum.Enum):
    OK = 0
    OUT_OF_RANGE = 1
    INTERNAL = 2


class DataType(enum.Enum):
    FLOAT32 = 1
    FLOAT16 = 2
    UINT8 = 3


class ModelKind(enum.Enum):
    kPytorch = 1
    kOnnx = 2


class QuantizationAlgorithm(enum.Enum):
    LINEAR_ALGORITHM = 1
    EQNM_ALGORITHM = 2


class Status:
    def __init__(self, code: Code, message: str) -> None:
        self._code, self._message = code, message

    @staticmethod
    def OK() -> Status:
        return Status(Code.OK, "")

    def ok(self) -> bool:
        return self._code is Code.OK

    def __str__(self) -> str:
        return f"[{self._code.name}] {self._message}"


def status_of(message: str | None) -> Status:
    """What a recorded call answers with."""
    return Status.OK() if message is None else Status(Code.INTERNAL, message)


def track(kind: str, thing: object) -> None:
    """Notes that it is there, until it is not: whatever lives when the last System ends is an error."""
    RECORDER.alive[id(thing)] = kind
    weakref.finalize(thing, RECORDER.alive.pop, id(thing), None)


class Dims:
    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = tuple(sizes)

    def GetDims(self) -> list[int]:
        return list(self._sizes)


class System:
    def __enter__(self) -> System:
        if (message := RECORDER("System")) is not None:
            raise RuntimeError(message)
        RECORDER.systems += 1
        return self

    def __exit__(self, *_: object) -> None:
        RECORDER.systems -= 1
        RECORDER("~System")
        RECORDER.outlived += RECORDER.alive.values()

    def device_count(self) -> int:
        return RECORDER.devices


class Queue:
    def __init__(self) -> None:
        track("Queue", self)
        self.waiting: list[Any] = []

    def sync(self) -> Status:
        message = RECORDER("sync")
        for work in self.waiting:
            work()
        self.waiting.clear()
        return status_of(message)


class Device:
    def __init__(self) -> None:
        assert RECORDER.systems, "a device outside of any System"
        self.id = -1
        self.is_active = False
        track("Device", self)

    def active(self) -> Status:
        message = RECORDER("active", self.id)
        self.is_active = message is None
        return status_of(message)

    def create_queue(self) -> Queue | None:
        return Queue() if RECORDER("create_queue") is None else None


from magicmind.python.runtime.build import (  # noqa: E402 (they use the names above)
    Builder,
    BuilderConfig,
    CalibDataInterface,
    Calibrator,
    Network,
)
from magicmind.python.runtime.model import Model  # noqa: E402

__all__ = ["Builder", "BuilderConfig", "CalibDataInterface", "Calibrator", "Model", "Network"]
