"""How far a candidate's maps of the photos lie from float32's of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpu_opened import Float32, Opened
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.postprocess import stretch
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture


def prepared_photos(folder: Path, *, most: int, size: tuple[int, int]) -> Float32:
    """At most so many photos of the folder, evenly spread, as the network takes them."""
    found = [item.path for item in collect_inputs([folder])]
    chosen = found[:: max(1, len(found) // most)][:most]
    height, width = size
    return np.stack(
        [
            preprocess(read_picture(path).rgb, height=height, width=width, profile="official")
            for path in chosen
        ]
    )


def maps_of(opened: Opened, photos: Float32, batch_size: int) -> list[tuple[int, Float32]]:
    """Each photo's number and map, in whole batches: as many as give each photo once, all places of a batch among
    them."""
    found = []
    for start in range(0, len(photos), batch_size):
        numbers = [(start + place) % len(photos) for place in range(batch_size)]
        opened.take(photos[numbers])
        maps = opened.maps()
        found += [(number, maps[place, 0].copy()) for place, number in enumerate(numbers)]
    return found


def differences(maps: Sequence[tuple[int, Float32]], reference: Sequence[Float32]) -> dict[str, Any]:
    """Of stretched maps: the mean of all, the mean of the worst picture, and the worst pixel. NaN is no agreement."""
    apart = [np.abs(stretch(one) - stretch(reference[number])) for number, one in maps]
    means = [float(each.mean()) for each in apart]
    return {
        "mean_difference": float(np.mean(means)),
        "worst_picture": float(np.max(means)),
        "worst_pixel": float(np.max([each.max() for each in apart])),
    }


def verdict(found: dict[str, Any], limit: float | None) -> str:
    """Why the maps are none; empty where they are, or nothing limits them."""
    mean = found["mean_difference"]
    if not np.isfinite(mean):
        return "its maps have NaN or infinity"
    if limit is not None and not mean <= limit:
        return f"its maps differ from float32's by {mean:.6f} on average, more than {limit:g}"
    return ""
