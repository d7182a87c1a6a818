"""The precision modes that a model can be built for, by MagicMind's names."""

from __future__ import annotations

from typing import Literal, get_args

FloatMode = Literal["force_float32", "force_float16"]
QuantizedMode = Literal[
    "qint8_mixed_float32", "qint8_mixed_float16", "qint16_mixed_float32", "qint16_mixed_float16"
]
PrecisionMode = Literal[FloatMode, QuantizedMode]
FLOAT_MODES: tuple[FloatMode, ...] = get_args(FloatMode)
QUANTIZED_MODES: tuple[QuantizedMode, ...] = get_args(QuantizedMode)
PRECISION_MODES: tuple[PrecisionMode, ...] = (*FLOAT_MODES, *QUANTIZED_MODES)


def quantized_bits(mode: PrecisionMode) -> int | None:
    """Bits of the integers that activations are rounded to: 8 or 16; None in a float mode."""
    if mode in FLOAT_MODES:
        return None
    return 8 if mode.startswith("qint8") else 16


def float_type(mode: PrecisionMode) -> Literal["float32", "float16"]:
    """The float type of what is not quantized: float16 leaves the choice of half precision to the engine."""
    return "float16" if mode.endswith("float16") else "float32"
