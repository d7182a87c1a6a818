"""What a quantized model says of itself: how it was calibrated, what stayed float and why, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

CalibrationSource = Literal["pictures", "random", "ranges", "tensors"]
CALIBRATION_SOURCES: tuple[CalibrationSource, ...] = get_args(CalibrationSource)


@dataclass(frozen=True)
class CalibrationRecord:
    """The data that the ranges came from. count: pictures (or tensors); sha256: over their contents, in order."""

    source: CalibrationSource
    count: int
    sha256: str


@dataclass(frozen=True)
class FloatLayer:
    """A convolution that was not quantized."""

    name: str
    reason: str


@dataclass(frozen=True)
class AccuracyRecord:
    """Stretched maps against those of the float32 model, on pictures that the calibration did not see.

    mean_difference, worst_difference: mean |a - b| of a map, over the pictures; worst_iou: of the masks at 0.5.
    max_loss, min_iou: what the gate allowed; engine and executed: what ran.
    """

    pictures: int
    mean_difference: float
    worst_difference: float
    worst_iou: float
    max_loss: float
    min_iou: float
    engine: str
    executed: str


@dataclass(frozen=True)
class QuantizationRecord:
    """How a model was quantized. accuracy: None where it was built without the gate."""

    bits: int
    weight_bits: int
    algorithm: str
    weight_granularity: str
    activations: str
    equalize: float
    bias_correction: bool
    calibration: CalibrationRecord
    float_layers: tuple[FloatLayer, ...]
    accuracy: AccuracyRecord | None
