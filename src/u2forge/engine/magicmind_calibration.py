"""Prepared pictures → MagicMind's CalibDataInterface, as a Calibrator drives it: reset, next to the end, get_sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.engine.magicmind_runtime import checked, sdk, sdk_error
from u2forge.errors import InputError
from u2forge.quantize.options import RangeAlgorithm

# The names that SDKs of different ages have for one algorithm.
ALGORITHMS: dict[RangeAlgorithm, tuple[str, ...]] = {
    "linear": ("LINEAR_ALGORITHM",),
    "eqnm": ("EQNM_ALGORITHM", "EQM_ALGORITHM"),
}
Pictures = Callable[[], Iterator[NDArray[np.float32]]]


@dataclass(frozen=True)
class CalibrationInput:
    """pictures: begins anew at each call, (3, height, width) float32 each, as `infer` prepares them; batch_size: of
    the samples; algorithm: one of ALGORITHMS."""

    pictures: Pictures
    batch_size: int
    height: int
    width: int
    algorithm: RangeAlgorithm


def calibrate(network: Any, config: Any, given: CalibrationInput) -> None:
    """Lets the SDK's Calibrator see every picture. Raises EngineError, InputError where there is none, and whatever
    the pictures raise."""
    mm = sdk()
    source = _source(mm, given)
    calibrator = mm.Calibrator([source])
    algorithm = _algorithm(mm.QuantizationAlgorithm, given.algorithm)
    fix = "choose another --algorithm, or give other pictures with --calibration"
    checked(
        calibrator.set_quantization_algorithm(algorithm),
        call="Calibrator.set_quantization_algorithm",
        fix=fix,
    )
    answer = calibrator.calibrate(network, config)
    if source.error is not None:
        raise source.error
    checked(answer, call="Calibrator.calibrate", fix=fix)
    if not source.samples:
        raise sdk_error(
            "Calibrator.calibrate",
            expected="samples to be taken",
            found="none, without a word",
            fix="report it: this u2forge drives the calibrator in a way that the SDK does not know",
        )


def batches(pictures: Iterator[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """(size, 3, h, w) each; the last one is filled up with its own pictures, again and again."""
    while found := list(islice(pictures, size)):
        yield np.ascontiguousarray(np.stack(list(islice(cycle(found), size))))


def _algorithm(names: Any, algorithm: RangeAlgorithm) -> Any:
    for name in ALGORITHMS[algorithm]:
        if hasattr(names, name):
            return getattr(names, name)
    raise sdk_error(
        "QuantizationAlgorithm",
        expected=" or ".join(ALGORITHMS[algorithm]),
        found="no such name in this SDK",
        fix="choose another --algorithm",
    )


def _source(mm: Any, given: CalibrationInput) -> Any:
    """The pictures as the SDK's own kind of object: its base class is there only when the SDK is."""

    class Source(mm.CalibDataInterface):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # None until the first reset, which not every driver of it may call.
            self._batches: Iterator[NDArray[np.float32]] | None = None
            self._sample: NDArray[np.float32] | None = None
            self.samples = 0
            self.error: BaseException | None = None

        def get_shape(self) -> Any:
            return mm.Dims((given.batch_size, 3, given.height, given.width))

        def get_data_type(self) -> Any:
            return mm.DataType.FLOAT32

        def get_sample(self) -> NDArray[np.float32] | None:
            return self._sample

        def next(self) -> Any:
            # Native code calls this: an exception, a Ctrl-C too, is kept until that has returned.
            try:
                if self._batches is None:
                    self.reset()
                assert self._batches is not None
                self._sample = next(self._batches, None)
                if self._sample is None and not self.samples:
                    raise _nothing_to_see()
            except BaseException as error:
                self.error = error
                self._sample = None
            if self._sample is None:
                return mm.Status(mm.Code.OUT_OF_RANGE, "no more calibration pictures")
            self.samples += 1
            return mm.Status.OK()

        def reset(self) -> None:
            self._sample = None
            self._batches = batches(given.pictures(), given.batch_size)

    return Source()


def _nothing_to_see() -> InputError:
    return InputError(
        where="calibration pictures",
        expected="at least one that can be read",
        found="none",
        fix="give a folder with sound pictures",
    )
