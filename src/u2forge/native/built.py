"""Whether the compiled half of the native engine is there, and how to get it where it is not."""

from __future__ import annotations

from pathlib import Path

BUILD_COMMAND = (
    "`pip install --force-reinstall --no-deps --no-binary u2forge u2forge` (in a checkout: `pip install .`) with a "
    "C++17 compiler at hand (g++ 11 or clang 14, say)"
)
_REASON = Path(__file__).with_name("not_built.txt")


def not_built_reason() -> str:
    """Why there are no kernels: what the build noted, where it could not make them."""
    try:
        return _REASON.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "its kernels were not built with this installation of u2forge"
