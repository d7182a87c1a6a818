"""Bilinear resizing in Triton, from channels (or planes) into channels of a joined buffer (or planes).

Source of the formula: ONNX, Resize, coordinate_transformation_mode pytorch_half_pixel, mode linear.
"""

# Kernels are read by Triton's compiler, not by Python: their arguments have its types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, import-not-found"
from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import Run


@dataclass(frozen=True)
class UpsampleTile:
    """pixels × channels: what one program computes."""

    pixels: int
    channels: int
    warps: int = 4

    def __str__(self) -> str:
        return f"upsample {self.pixels}×{self.channels}, {self.warps} warps"


def upsample_step(step: PlacedStep, tile: UpsampleTile) -> Run:
    """Resizes the source to the target's size each time that it is called."""
    batch, channels, height, width = step.target.shape
    grid = (triton.cdiv(height * width, tile.pixels) * triton.cdiv(channels, tile.channels), batch)

    def run() -> None:
        upsample[grid](
            step.source,
            step.target,
            *step.source.stride(),
            *step.target.stride(),
            channels,
            step.source.shape[2],
            step.source.shape[3],
            height,
            width,
            PIXELS=tile.pixels,
            CHANNELS=tile.channels,
            num_warps=tile.warps,
        )

    return run


@triton.jit
def _neighbours(place, size, length):
    """The two pixels of `length` that a place in `size` lies between, and how far it is from the first."""
    at = (place.to(tl.float32) + 0.5) * (length.to(tl.float32) / size.to(tl.float32)) - 0.5
    at = tl.where(size > 1, tl.maximum(at, 0.0), 0.0)
    first = tl.minimum(at.to(tl.int32), length - 1)
    return first, tl.minimum(first + 1, length - 1), at - first.to(tl.float32)


@triton.jit(do_not_specialize=["channels", "source_height", "source_width", "height", "width"])
def upsample(
    source,
    target,
    source_n,
    source_c,
    source_y,
    source_x,
    target_n,
    target_c,
    target_y,
    target_x,
    channels,
    source_height,
    source_width,
    height,
    width,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channel_tiles = tl.cdiv(channels, CHANNELS)
    channel = tl.program_id(0) % channel_tiles * CHANNELS + tl.arange(0, CHANNELS)
    pixel = tl.program_id(0) // channel_tiles * PIXELS + tl.arange(0, PIXELS)
    picture = tl.program_id(1).to(tl.int64)
    y = pixel // width
    x = pixel % width
    inside = (pixel < height * width)[:, None] & (channel < channels)[None, :]

    y0, y1, down = _neighbours(y, height, source_height)
    x0, x1, along = _neighbours(x, width, source_width)
    origin = source + picture * source_n + (channel * source_c)[None, :]
    upper_left = tl.load(origin + (y0 * source_y + x0 * source_x)[:, None], mask=inside, other=0.0)
    upper_right = tl.load(origin + (y0 * source_y + x1 * source_x)[:, None], mask=inside, other=0.0)
    lower_left = tl.load(origin + (y1 * source_y + x0 * source_x)[:, None], mask=inside, other=0.0)
    lower_right = tl.load(origin + (y1 * source_y + x1 * source_x)[:, None], mask=inside, other=0.0)
    along = along[:, None]
    upper = upper_left.to(tl.float32) * (1 - along) + upper_right.to(tl.float32) * along
    lower = lower_left.to(tl.float32) * (1 - along) + lower_right.to(tl.float32) * along
    mixed = upper * (1 - down[:, None]) + lower * down[:, None]
    place = (target + picture * target_n + y * target_y + x * target_x)[:, None]
    tl.store(place + (channel * target_c)[None, :], mixed.to(target.dtype.element_ty), mask=inside)
