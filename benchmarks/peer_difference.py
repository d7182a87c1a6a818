"""An engine's maps or masks against our float32 ones: how far apart they are, and whether it is another network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import u2forge
from u2forge.evaluate.parity import parity
from u2forge.pipeline.postprocess import stretch
from u2forge.pipeline.read_picture import read_picture
from u2forge.profiles import PreProfile

Maps = Sequence[Any]
# Mean difference to float32 beyond which a peer computes another network. float32 engines differ by 0.00001 at most;
# the others, on average, by ten times less than this (docs/accuracy.md).
# float16, which ARM processors run, gets bfloat16's limit: it rounds eight times finer, but overflows earlier, and no
# such processor was at hand.
_MOST = {
    "float32": 0.001,
    "bfloat16": 0.02,
    "bfloat16 storage": 0.02,
    "float16": 0.02,
    "int16": 0.005,
    "int8": 0.05,
}


class OtherNetworkError(Exception):
    """A peer's answers are too far from ours to be those of the same network."""


def our_maps(model: Path, inputs: Path, *, engine: str, threads: int) -> Maps:
    """The maps (h, w) that an engine of ours makes of the network inputs in an .npy file."""
    with u2forge.open_segmenter(model, engine=engine, threads=threads) as segmenter:
        name = segmenter.engine.info.inputs[0].name
        return [segmenter.engine.run({name: one[None]})["d0"][0, 0] for one in np.load(inputs)]


def our_masks(model: Path, photos: Sequence[Path], *, engine: str, pre: PreProfile, threads: int) -> Maps:
    """Our masks (H, W) uint8 of photos."""
    with u2forge.open_segmenter(model, engine=engine, pre=pre, threads=threads) as segmenter:
        return [segmenter.segment(read_picture(photo)).mask for photo in photos]


def differences(expected: Maps, found: Maps, *, executed: str) -> dict[str, float]:
    """Mean and worst of the pictures' mean differences, and the worst IoU at 0.5, of maps (stretched) or masks.

    executed: what the peer runs in. Raises OtherNetworkError where that has no limit, sizes differ, or the mean is over
    the limit.
    """
    if executed not in _MOST:
        raise OtherNetworkError(f"it runs in {executed}, whose maps have no limit to be held to")
    if [one.shape for one in expected] != [one.shape for one in found]:
        raise OtherNetworkError(f"its answers are of other sizes: {found[0].shape}, not {expected[0].shape}")
    pairs = [parity(_in_range(a), _in_range(b)) for a, b in zip(expected, found, strict=True)]
    each = [pair.mean_difference for pair in pairs]
    mean = float(np.mean(each))
    # Also so for NaN.
    if not mean <= _MOST[executed]:
        raise OtherNetworkError(f"it computes something else: its answers differ by {mean:.4f} on average")
    return {
        "mean_difference": mean,
        "worst_difference": max(each),
        "worst_iou": min(pair.iou for pair in pairs),
    }


def _in_range(answer: Any) -> Any:
    """In [0, 1]: a mask's levels, or a map stretched."""
    return answer.astype(np.float32) / 255 if answer.dtype == np.uint8 else stretch(answer)
