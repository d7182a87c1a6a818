"""The precision modes that a model can be built for, by MagicMind's names."""

from __future__ import annotations

from typing import Literal, get_args

PrecisionMode = Literal["force_float32", "force_float16"]
PRECISION_MODES: tuple[PrecisionMode, ...] = get_args(PrecisionMode)
