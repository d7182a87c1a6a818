"""A picture's pixels to the network's input, by profile: resized, divided by their maximum, normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.errors import InputError, unknown_choice
from u2forge.pipeline.resample import resize_antialiased, resize_bilinear
from u2forge.profiles import MEAN_RGB, PRE_PROFILES, STD_RGB, PreProfile


def preprocess(
    rgb: NDArray[np.uint8], *, height: int, width: int, profile: PreProfile
) -> NDArray[np.float32]:
    """(3, height, width) float32: an (H, W, 3) uint8 picture, resized by the profile, divided by its own
    maximum and normalised with ImageNet's mean and standard deviation; a black picture counts as zeros.
    Raises InputError. Source: upstream data_loader.py, RescaleT and ToTensorLab (flag 0)."""
    resized = _resize(rgb, height=height, width=width, profile=profile)
    peak = float(resized.max()) or 1.0
    planes = np.empty((3, height, width), np.float32)
    for channel, (mean, std) in enumerate(zip(MEAN_RGB, STD_RGB, strict=True)):
        np.multiply(resized[:, :, channel], np.float32(1 / (peak * std)), out=planes[channel])
        planes[channel] -= np.float32(mean / std)
    return planes


def preprocess_uint8(
    rgb: NDArray[np.uint8], *, height: int, width: int, profile: PreProfile
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: only resized by the profile and rounded, for graphs that normalise inside."""
    resized = _resize(rgb, height=height, width=width, profile=profile)
    return np.rint(resized, out=resized).astype(np.uint8)


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Raises InputError unless it is a picture's pixels: uint8 (H, W, 3), at least one."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise InputError(
            where="preprocess, argument 'rgb'",
            expected="uint8 (H, W, 3), at least 1×1",
            found=f"{rgb.dtype} {rgb.shape}",
            fix="pass the rgb of a picture from read_picture()",
        )


def _resize(rgb: NDArray[np.uint8], *, height: int, width: int, profile: PreProfile) -> NDArray[np.float32]:
    """(height, width, 3) float32 in [0, 255]."""
    check_rgb(rgb)
    if profile == "official":
        return resize_bilinear(rgb, height=height, width=width)
    if profile == "antialias":
        return resize_antialiased(rgb, height=height, width=width)
    if profile == "rembg":
        # Source: rembg sessions/base.py, BaseSession.normalize.
        shrunk = Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(shrunk).astype(np.float32)
    raise unknown_choice(profile, PRE_PROFILES, where="preprocess, argument 'profile'")
