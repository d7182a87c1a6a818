"""What the user calls a checkpoint (a file, or a card's name) → the path of a file that is there."""

from __future__ import annotations

from pathlib import Path

from u2forge.errors import InputError
from u2forge.weights.cards import CARDS
from u2forge.weights.fetch import fetch_weights


def checkpoint_path(name_or_path: str | Path, *, progress: bool = False) -> Path:
    """The file itself, or the fetched weights of the card of that name.

    Raises InputError where it is neither; FetchError where the weights cannot be had.
    """
    if str(name_or_path) in CARDS:
        return fetch_weights(str(name_or_path), progress=progress)
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise InputError(
        where=f"checkpoint {str(name_or_path)!r}",
        expected=f"a file, or one of the names {', '.join(CARDS)}",
        found="a folder" if path.is_dir() else "neither",
        fix="check the path, or fetch official weights by name",
    )


def card_name(name_or_path: str | Path) -> str | None:
    """What to call its network: the card's name, where it was named by that; None leaves it to the file."""
    return str(name_or_path) if str(name_or_path) in CARDS else None
