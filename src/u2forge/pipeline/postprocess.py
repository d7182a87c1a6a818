"""The network's probability map to a mask or a map of the picture's size, by profile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.errors import EngineError, InputError, unknown_choice
from u2forge.profiles import POST_PROFILES, PostProfile, PreProfile

# A map whose values span less than this says "nothing here": stretched, it would be noise. Measured with the
# full u2net: black, white and one-coloured pictures and noise span at most 0.028, 100 photos with an object
# at least 0.999.
FLAT_RANGE = 1 / 16


def postprocess(
    probability: NDArray[np.float32], *, height: int, width: int, post: PostProfile, pre: PreProfile
) -> NDArray[np.uint8]:
    """(height, width) uint8 mask of an (h, w) float32 probability map.

    stretch: the map's own range to 0..255, truncated, then enlarged (bilinear; Lanczos after pre `rembg`);
    a map that spans less than FLAT_RANGE gives zeros. raw: probability × 255, rounded, enlarged likewise.
    threshold: 255 where the raw mask is at least 128 (probability 0.5), else 0: nothing salient, empty mask.
    Raises EngineError on NaN or inf, InputError on another shape or profile.
    Source: upstream u2net_test.py, normPRED and save_output; rembg sessions/u2net.py, predict.
    """
    check_probability(probability)
    if post == "stretch":
        # Pillow turns float pixels into 8-bit ones by dropping the fraction, and so does upstream.
        levels = (stretch(probability) * np.float32(255)).astype(np.uint8)
    elif post in ("raw", "threshold"):
        levels = np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    else:
        raise unknown_choice(post, POST_PROFILES, where="postprocess, argument 'post'")
    if not levels.any():
        return np.zeros((height, width), np.uint8)
    kernel = Image.Resampling.LANCZOS if pre == "rembg" else Image.Resampling.BILINEAR
    mask = np.array(Image.fromarray(levels).resize((width, height), kernel))
    return (mask >= 128) * np.uint8(255) if post == "threshold" else mask


def stretch(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) float32: one map's own range stretched to [0, 1]; zeros where it spans less than FLAT_RANGE.
    Source: upstream u2net_test.py, normPRED (there a flat map divides by zero)."""
    low, high = probability.min(), probability.max()
    if high - low < FLAT_RANGE:
        return np.zeros_like(probability)
    stretched: NDArray[np.float32] = (probability - low) / (high - low)
    return stretched


def resize_probability(probability: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) float32 in [0, 1]: the un-stretched map, enlarged (bilinear).
    Raises EngineError on NaN or inf, InputError on another shape."""
    check_probability(probability)
    enlarged = Image.fromarray(probability).resize((width, height), Image.Resampling.BILINEAR)
    resized = np.array(enlarged)
    return np.clip(resized, 0, 1, out=resized)


def quantize_probability(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) uint16, rounded, 65535 for 1.0: what a 16-bit PNG of the map holds (TIFF keeps float32)."""
    levels: NDArray[np.uint16] = np.rint(probability * np.float32(65535)).astype(np.uint16)
    return levels


def check_probability(probability: NDArray[np.float32]) -> None:
    """Raises EngineError on NaN or inf, InputError unless it is float32 (h, w)."""
    if probability.dtype != np.float32 or probability.ndim != 2 or not probability.size:
        raise InputError(
            where="postprocess, argument 'probability'",
            expected="float32 (h, w), at least 1×1",
            found=f"{probability.dtype} {probability.shape}",
            fix="pass one picture's map, without the axes of batch and channel",
        )
    broken = probability.size - int(np.isfinite(probability).sum())
    if broken:
        raise EngineError(
            where="postprocess, the network's probability map",
            expected="finite numbers",
            found=f"{broken} of {probability.size} values are NaN or infinite",
            fix="try another precision or engine, and verify the model file",
        )
