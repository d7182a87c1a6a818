"""A folder to the relative paths of the pictures below it, sorted, quickly and without running in circles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .avif .tif .tiff .bmp .dib .gif .heic .heif .hif".split()
)
# Written into every folder of results; a folder that has it below another holds results, not photos.
RECORD_NAME = ".u2forge-job.json"


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture: by its suffix, hidden files never."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122


def walk_folder(folder: Path) -> Iterator[str]:
    """Relative paths of all pictures below `folder`, sorted by name, a folder's files before its folders.

    Hidden names and folders of u2forge results are left out; links are followed, each real folder once;
    folders that may not be read are left out.
    """
    visited: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        relative = pending.pop()
        path = os.path.join(folder, relative)  # noqa: PTH118 (strings: this runs for every folder)
        try:
            status = os.stat(path)  # noqa: PTH116
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in visited or (relative and any(entry.name == RECORD_NAME for entry in entries)):
            continue
        visited.add(identity)
        prefix = f"{relative}{os.sep}" if relative else ""
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        folders = [entry.name for entry in visible if _is_folder(entry)]
        pending += [f"{prefix}{name}" for name in reversed(folders)]
        yield from (f"{prefix}{e.name}" for e in visible if is_picture_name(e.name) and not _is_folder(e))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; it fails as a picture
        return False
