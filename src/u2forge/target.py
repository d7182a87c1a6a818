"""What a model file is for: every engine of u2forge, or MLU370 cards by Cambricon's own SDK."""

from __future__ import annotations

from typing import Literal, get_args

Target = Literal["portable", "mlu370"]
TARGETS: tuple[Target, ...] = get_args(Target)

# Said in help texts, in the log, in reports and in the documents, each time that the SDK is driven.
UNVERIFIED = "not verified on hardware: tested against a recorded double of the SDK's API only"
