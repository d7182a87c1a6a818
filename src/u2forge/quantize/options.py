"""How a graph is quantized: the choices, checked, saved in the model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from u2forge.errors import InputError, unknown_choice

RangeAlgorithm = Literal["linear", "eqnm", "percentile", "entropy"]
WeightGranularity = Literal["per_tensor", "per_channel"]
ActivationScheme = Literal["asymmetric", "symmetric"]
RANGE_ALGORITHMS: tuple[RangeAlgorithm, ...] = get_args(RangeAlgorithm)
WEIGHT_GRANULARITIES: tuple[WeightGranularity, ...] = get_args(WeightGranularity)
ACTIVATION_SCHEMES: tuple[ActivationScheme, ...] = get_args(ActivationScheme)
# Seven bits are a factor of two below what makes products of processors without VNNI saturate: there, two
# 8-bit products are added in 16 bits, 2 × 255 × 63 < 2^15 (source: Intel, "Lower Numerical Precision Deep
# Learning Inference and Training", 2018).
DEFAULT_WEIGHT_BITS = 7


@dataclass(frozen=True)
class QuantizeOptions:
    """bits: of the activations, 8 or 16; with 16, weights have 16 too, whatever weight_bits says (7 or 8).

    algorithm: how an activation's range follows from what calibration saw. activations: asymmetric takes
    unsigned integers with a zero point; symmetric has no zero point (signed integers where a tensor has
    negative values). equalize: 0 to 1, how far the channels of a tensor are scaled to one range (the scales are
    folded into the weights, exactly). bias_correction: what rounding a layer's weights adds to its mean output
    is taken off its bias.
    """

    bits: int = 8
    weight_bits: int = DEFAULT_WEIGHT_BITS
    algorithm: RangeAlgorithm = "eqnm"
    weight_granularity: WeightGranularity = "per_channel"
    activations: ActivationScheme = "asymmetric"
    equalize: float = 0.5
    bias_correction: bool = True

    def __post_init__(self) -> None:
        """Raises InputError where a choice is none of the valid ones."""
        _check("bits", self.bits, (8, 16))
        _check("weight_bits", self.weight_bits, (7, 8))
        _check("algorithm", self.algorithm, RANGE_ALGORITHMS)
        _check("weight_granularity", self.weight_granularity, WEIGHT_GRANULARITIES)
        _check("activations", self.activations, ACTIVATION_SCHEMES)
        if not (isinstance(self.equalize, int | float) and 0 <= self.equalize <= 1):
            raise InputError(
                where="quantization, option 'equalize'",
                expected="a number of 0 (off) to 1 (all channels to one range)",
                found=repr(self.equalize),
                fix="leave it out, or choose one in between",
            )


def _check(name: str, value: object, valid: Sequence[object]) -> None:
    if value not in valid:
        raise unknown_choice(value, map(str, valid), where=f"quantization, option {name!r}")
