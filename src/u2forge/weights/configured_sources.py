"""The place for weights that the user configured once, for every verb: an environment variable."""

from __future__ import annotations

import os

ENVIRONMENT_VARIABLE = "U2FORGE_WEIGHTS"


def configured_sources() -> list[str]:
    """The folder, file or address that $U2FORGE_WEIGHTS names, if it is set."""
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    return [configured] if configured else []
