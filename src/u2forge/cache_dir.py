"""Where u2forge keeps what it fetched, built and compiled: one folder per user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

ENVIRONMENT_VARIABLE = "U2FORGE_CACHE"


def cache_dir() -> Path:
    """The per-user cache folder: $U2FORGE_CACHE where set, else the platform's own place; not created."""
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if configured:
        return Path(configured).expanduser()
    return Path(platformdirs.user_cache_dir("u2forge", appauthor=False))
