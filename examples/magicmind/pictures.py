"""What both programs do with pictures: what the network takes of one, and what becomes of its map."""

import numpy as np
from PIL import Image

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# A map that varies by less than this shows nothing; stretched, it would be noise.
FLAT = 1 / 16


def read_rgb(path):
    """(H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def prepare(rgb, height, width):
    """(3, height, width) float32: resized, divided by its maximum, normalised."""
    small = resize(rgb, height, width)
    largest = float(small.max()) or 1.0
    planes = [
        small[:, :, i] * np.float32(1 / (largest * STD[i])) - np.float32(MEAN[i] / STD[i]) for i in range(3)
    ]
    return np.stack(planes)


def resize(rgb, height, width):
    """Bilinear between the four nearest pixels, black outside, as the published masks were made."""
    padded = np.pad(rgb, ((1, 1), (1, 1), (0, 0))).astype(np.float32)
    left, before, after = taps(rgb.shape[1], width)
    lines = padded[:, left] * before[:, None] + padded[:, left + 1] * after[:, None]
    top, before, after = taps(rgb.shape[0], height)
    resized = lines[top] * before[:, None, None] + lines[top + 1] * after[:, None, None]
    return np.maximum(resized, np.float32(rgb.min()))


def taps(size, wanted):
    """For each of the `wanted` lines, the padded line before it, and the weights of that and of the next."""
    places = (np.arange(wanted) + 0.5) * (size / wanted) - 0.5
    before = np.floor(places).astype(int)
    fraction = places - before
    return before + 1, (1 - fraction).astype(np.float32), fraction.astype(np.float32)


def mask_of(probability, height, width):
    """(height, width) uint8: the map stretched to its own range, enlarged."""
    low, high = probability.min(), probability.max()
    if high - low < FLAT:
        return np.zeros((height, width), np.uint8)
    levels = ((probability - low) / (high - low) * np.float32(255)).astype(np.uint8)
    return np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR))
