"""Tensor: an input that a program fills, or an output that an inference fills."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import EngineError
from u2forge.magicmind.data_types import DataType, data_type_of
from u2forge.magicmind.dims import OPEN
from u2forge.magicmind.status import PreconditionError, Status, status_of
from u2forge.magicmind.task_queue import inference_error
from u2forge.tensor_spec import TensorSpec

Answer = Future[Mapping[str, NDArray[Any]]]


class Tensor:
    """Made by Context.create_inputs and Context.enqueue. Memory is the host's; an engine copies where it has to."""

    def __init__(self, spec: TensorSpec, *, answer: Answer | None = None) -> None:
        self._spec = spec
        self._answer = answer
        self._array: NDArray[Any] | None = None

    @property
    def name(self) -> str:
        """The input's or output's name."""
        return self._spec.name

    @property
    def data_type(self) -> DataType:
        """Its element type."""
        return data_type_of(self._spec.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's sizes; before there is one the model's, -1 where an axis is open."""
        if self._array is None and self._answer is not None and self._answer.done():
            return self.asnumpy().shape
        if self._array is not None:
            return self._array.shape
        return tuple(OPEN if size is None else size for size in self._spec.shape)

    def from_numpy(self, array: NDArray[Any]) -> Status:
        """Takes a copy of the array, which must be of the tensor's type and shape; else it holds nothing any more."""
        self._array = None
        return status_of(lambda: self._take(np.asarray(array)))

    def to(self, device: object) -> Tensor:
        """The tensor itself: an engine moves data where it needs it. device: a Device, or any name of one."""
        return self

    def asnumpy(self) -> NDArray[Any]:
        """The array. Of an output, waits until it is there. Raises EngineError where its inference failed,
        PreconditionError where an input holds nothing."""
        if self._array is None and self._answer is not None:
            try:
                self._array = self._answer.result()[self._spec.name]
            except Exception as error:
                raise EngineError(
                    where=f"output {self.name!r}",
                    expected="an inference that ends",
                    found=str(inference_error(error)),
                    fix="look at the Status that queue.sync() returns",
                ) from error
        if self._array is None:
            raise PreconditionError(
                where=f"input {self.name!r}",
                expected=f"an array: {self._spec}",
                found="none, or one that was refused",
                fix="call from_numpy(array) on it, and look at the Status that it returns",
            )
        return self._array

    def _take(self, array: NDArray[Any]) -> None:
        self._spec.check(array, where="from_numpy")
        # A copy: the program may change its array while the inference is under way.
        self._array = np.array(array, order="C")
