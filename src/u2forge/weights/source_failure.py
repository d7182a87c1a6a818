"""SourceFailure: why one source did not deliver, on its way to the list that the user sees."""

from __future__ import annotations


class SourceFailure(Exception):
    """One source did not deliver; its text is the reason. `fetch_weights` goes on and lists them all."""
