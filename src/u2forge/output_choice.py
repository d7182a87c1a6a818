"""Which of the network's seven outputs a model keeps: the fused map alone, or all."""

from __future__ import annotations

from typing import Literal, get_args

OutputChoice = Literal["d0", "all"]
OUTPUT_CHOICES: tuple[OutputChoice, ...] = get_args(OutputChoice)
