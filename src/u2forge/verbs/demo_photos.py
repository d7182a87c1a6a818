"""Freely licensed photos that come with an installed package: what the one-click job shows where none are given."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from u2forge.errors import MissingDependencyError, install_command

# Photos with one clear subject. Licences: astronaut and rocket public domain or CC0, chelsea and coffee CC0.
DEMO_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def demo_photos() -> list[Path]:
    """The paths of the demo photos, inside the installed scikit-image; it is not imported.

    Raises MissingDependencyError where it is not installed or carries none of them.
    """
    spec = find_spec("skimage")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    photos = [Path(folder) / "data" / name for folder in folders for name in DEMO_PHOTOS]
    present = [photo for photo in photos if photo.is_file()]
    if not present:
        raise MissingDependencyError(
            where="demo photos",
            expected="scikit-image, whose package carries them",
            found="not installed" if spec is None else f"an installation without {', '.join(DEMO_PHOTOS)}",
            fix=f"give a folder of photos, or run {install_command('scikit-image', extra='demo')}",
        )
    return present
