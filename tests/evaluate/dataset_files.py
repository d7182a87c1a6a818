"""Made-up data sets: photos with one bright disc, and its mask, in the layouts of public data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def disc(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width) uint8: 255 within a disc whose place depends on the seed."""
    y, x = np.mgrid[0:height, 0:width]
    centre_y, centre_x = height * (3 + seed % 3) / 8, width * (3 + seed % 4) / 8
    return (((y - centre_y) ** 2 + (x - centre_x) ** 2) < (min(height, width) / 4) ** 2) * np.uint8(255)


def write_pair(photo: Path, mask: Path, *, size: tuple[int, int] = (48, 36), seed: int = 0) -> None:
    """A photo and its mask of (width, height), in the formats of their suffixes."""
    width, height = size
    truth = disc(height, width, seed=seed)
    noise = np.random.default_rng(seed).integers(0, 90, (height, width, 3), np.uint8)
    for path, pixels in ((photo, noise + truth[:, :, None] // 2), (mask, truth)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def write_dataset(folder: Path, count: int) -> Path:
    """`count` pairs of several sizes in images/ and masks/."""
    for index in range(count):
        name = f"{index:03d}"
        size = (40 + 4 * (index % 5), 30 + 6 * (index % 3))
        write_pair(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png", size=size, seed=index)
    return folder
