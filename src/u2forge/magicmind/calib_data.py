"""CalibDataInterface: what a program implements to hand over calibration data; and the driving of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import InputError
from u2forge.magicmind.data_types import DataType, get_numpy_dtype_by_datatype
from u2forge.magicmind.dims import Dims
from u2forge.magicmind.status import Code, Status


class CalibDataInterface(ABC):
    """Data for one input of a network, in samples of one shape."""

    @abstractmethod
    def get_shape(self) -> Dims:
        """The shape of every sample."""

    @abstractmethod
    def get_data_type(self) -> DataType:
        """Their element type."""

    @abstractmethod
    def get_sample(self) -> NDArray[Any]:
        """The sample that the last `next` went on to."""

    @abstractmethod
    def next(self) -> Status:
        """Goes on to the next sample: OK, or Code.OUT_OF_RANGE where there is none."""

    @abstractmethod
    def reset(self) -> Status:
        """Back to the beginning."""


class RemoteConfig:
    """Where an original Calibrator would find a card in another machine. Calibration runs here: it has no effect."""

    address = ""
    port = 0


def samples_of(data: Sequence[CalibDataInterface], names: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Each set of samples by input name: reset, then next until OUT_OF_RANGE, get_sample after each OK.

    Raises InputError where the data answers otherwise, or one input's ends before another's.
    """
    shapes = [tuple(one.get_shape()) for one in data]
    types = [np.dtype(get_numpy_dtype_by_datatype(one.get_data_type())) for one in data]
    for name, one in zip(names, data, strict=True):
        answer = one.reset()
        if isinstance(answer, Status) and not answer.ok():
            raise _wrong(name, "reset", "OK", str(answer))
    while True:
        ended = [_is_at_end(one, name) for name, one in zip(names, data, strict=True)]
        if all(ended):
            return
        if any(ended):
            name = names[ended.index(True)]
            raise _wrong(name, "next", "as many samples for each input", "its end, before that of others")
        sample = {}
        for name, one, shape, dtype in zip(names, data, shapes, types, strict=True):
            array = np.asarray(one.get_sample())
            if array.shape != shape or array.dtype != dtype:
                found = f"{array.dtype} {array.shape}"
                raise _wrong(
                    name, "get_sample", f"{dtype} {shape}, as get_shape and get_data_type say", found
                )
            sample[name] = np.array(array)
        yield sample


def _is_at_end(data: CalibDataInterface, name: str) -> bool:
    answer = data.next()
    if not isinstance(answer, Status):
        raise _wrong(name, "next", "a Status", repr(answer))
    if answer.ok():
        return False
    if answer.code is Code.OUT_OF_RANGE:
        return True
    raise _wrong(name, "next", "OK, or OUT_OF_RANGE at the end", str(answer))


def _wrong(name: str, method: str, expected: str, found: str) -> InputError:
    return InputError(
        where=f"calibration data of input {name!r}, {method}",
        expected=expected,
        found=found,
        fix="correct the class that implements CalibDataInterface",
    )
