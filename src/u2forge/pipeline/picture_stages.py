"""What the threads of the pool do with one picture: before the network (load) and after it (finish)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.atomic_file import write_atomic
from u2forge.pipeline.compose import composite, cutout
from u2forge.pipeline.encode_picture import encode_picture
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.picture_answer import PictureAnswer
from u2forge.pipeline.picture_report import PictureReport
from u2forge.pipeline.postprocess import quantize_probability, resize_probability
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter


@dataclass(eq=False)
class PictureInFlight:
    """One picture on its way. picture: only while its own pixels are still needed to compose; pixels: what it takes of
    the budget; taken: what the engine is given of it, its own pixels or the network's input; answer: the engine's."""

    input: Path
    output: Path
    pixels: int = 0
    picture: Picture | None = None
    width: int | None = None
    height: int | None = None
    taken: NDArray[Any] | None = None
    answer: PictureAnswer | None = None
    stage_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes to the stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_ms[stage] = self.stage_ms.get(stage, 0.0) + (time.perf_counter() - start) * 1000

    def failed(self, reason: str) -> PictureReport:
        """The report of its failure."""
        return PictureReport(
            self.input, self.output, "failed", reason, self.width, self.height, self.stage_ms
        )


def load(flight: PictureInFlight, segmenter: Segmenter, *, keep_picture: bool, max_pixels: int) -> None:
    """Decodes the picture and makes of it what the engine is given. Raises ImageError."""
    with flight.timed("decode"):
        picture = read_picture(flight.input, max_pixels=max_pixels)
    flight.width, flight.height = picture.width, picture.height
    with flight.timed("preprocess"):
        flight.taken = segmenter.take(picture)
    if keep_picture:
        flight.picture = picture


def finish(flight: PictureInFlight, segmenter: Segmenter, render: RenderOptions) -> PictureReport:
    """Makes the result from the engine's answer and writes it, whole or not at all. Raises OutputError."""
    with flight.timed("postprocess"):
        mask = _enlarged(flight, segmenter, render)
    picture = flight.picture
    with flight.timed("compose"):
        pixels = mask if picture is None else _composed(picture, mask, render)
    flight.picture = flight.answer = None
    with flight.timed("encode"):
        data = encode_picture(
            pixels,
            format=render.format,
            quality=render.quality,
            icc_profile=picture.icc_profile if picture else None,
            exif=picture.exif if picture else None,
        )
        write_atomic(flight.output, data)
    return PictureReport(
        flight.input, flight.output, "done", None, flight.width, flight.height, flight.stage_ms
    )


def _enlarged(flight: PictureInFlight, segmenter: Segmenter, render: RenderOptions) -> NDArray[Any]:
    assert flight.answer is not None
    assert flight.height is not None
    assert flight.width is not None
    if render.output != "probability":
        return segmenter.mask(flight.answer, height=flight.height, width=flight.width)
    resized = resize_probability(flight.answer.probability, height=flight.height, width=flight.width)
    return resized if render.format == "tiff" else quantize_probability(resized)


def _composed(picture: Picture, mask: NDArray[np.uint8], render: RenderOptions) -> NDArray[np.uint8]:
    if render.background is None:
        return cutout(picture, mask)
    return composite(picture, mask, render.background)
