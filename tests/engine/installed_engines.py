"""The engines that tests of what all of them keep to run on, and how these are opened without an accelerator."""

from __future__ import annotations

from typing import Any

from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import ENGINES

INSTALLED = [name for name, entry in ENGINES.items() if entry.installed]
# Where there is no GPU to ask for, the engine for GPUs runs their reference.
_DEVICES = {"cuda": "cpu"}


def options_for(name: str, **options: Any) -> EngineOptions:
    """The options, on a device that every machine has where none is named."""
    return EngineOptions(**{"device": _DEVICES.get(name, "auto"), **options})
