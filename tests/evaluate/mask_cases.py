"""Pairs of an 8-bit mask and a ground truth that the tests of several metrics share."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

# A busy machine is slow, not wrong.
patient = settings(deadline=None)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def half(height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    """Left half black, right half white."""
    truth = np.zeros((height, width), np.uint8)
    truth[:, width // 2 :] = 255
    return truth


def square(side: int = 20, start: int = 5, end: int = 15) -> NDArray[np.uint8]:
    truth = np.zeros((side, side), np.uint8)
    truth[start:end, start:end] = 255
    return truth


def black(shape: tuple[int, int] = (8, 8)) -> NDArray[np.uint8]:
    return np.zeros(shape, np.uint8)


def white(shape: tuple[int, int] = (8, 8)) -> NDArray[np.uint8]:
    return np.full(shape, 255, np.uint8)


def ramp(height: int = 16, width: int = 16) -> NDArray[np.uint8]:
    return np.arange(height * width).reshape(height, width).astype(np.uint8)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Tiny and odd sizes; masks of noise, few levels, stripes or one level; truths of every kind, grey ones too."""
    height, width = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    level = draw(st.integers(0, 255))
    noise = generator.integers(0, 256, (height, width))
    mask = {
        "noise": noise,
        "flat": np.full_like(noise, level),
        "binary": (noise > 128) * level,
        "few levels": np.clip(level + noise % 4, 0, 255),
        "stripes": np.repeat(noise[:, :1], width, axis=1),
        "sparse": (generator.random((height, width)) < 0.2) * noise,
    }[draw(st.sampled_from(["noise", "flat", "binary", "few levels", "stripes", "sparse"]))]
    rows, columns = np.indices((height, width))
    truth = {
        "noise": (generator.random((height, width)) < 0.5) * 255,
        "grey": generator.integers(0, 256, (height, width)),
        "about the threshold": generator.integers(126, 131, (height, width)),
        "empty": np.zeros_like(noise),
        "full": np.full_like(noise, 255),
        "corner": (rows + columns > height) * 255,
    }[draw(st.sampled_from(["noise", "grey", "about the threshold", "empty", "full", "corner"]))]
    return mask.astype(np.uint8), truth.astype(np.uint8)


def perturbed(truth: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A truth as a network might have found it: blurred, moved, dimmed, noisy."""
    soft = truth.astype(np.float64)
    for axis in (0, 1):
        soft = np.mean([np.roll(soft, step, axis) for step in range(-4, 5)], axis=0)
    moved = np.roll(soft, generator.integers(-4, 5, 2), (0, 1))
    noisy = moved * generator.uniform(0.6, 1) + generator.normal(0, 4, truth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
