"""3×3 convolution of a picture in Triton: float32 planes in, rectified channels out, all taps in one product."""

# Kernels are read by Triton's compiler, not by Python: their arguments have its types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, import-not-found"
from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import Run


@dataclass(frozen=True)
class FirstTile:
    """pixels × outputs: what one program computes. taps: how many of the nine for each plane it multiplies at a time,
    at least 16."""

    pixels: int
    outputs: int
    taps: int = 32
    warps: int = 4

    def __str__(self) -> str:
        return f"first {self.pixels}×{self.outputs}×{self.taps}, {self.warps} warps"


def first_convolution_step(step: PlacedStep, tile: FirstTile) -> Run:
    """Computes the first convolution with the tile each time that it is called."""
    parameters = step.parameters
    assert parameters is not None
    batch, planes, height, width = step.source.shape
    outputs = step.target.shape[1]
    grid = (triton.cdiv(height * width, tile.pixels) * triton.cdiv(outputs, tile.outputs), batch)

    def run() -> None:
        first_convolution[grid](
            step.source,
            parameters.taps,
            parameters.bias,
            step.target,
            *step.source.stride(),
            *step.target.stride(),
            height,
            width,
            planes,
            outputs,
            PIXELS=tile.pixels,
            OUTPUTS=tile.outputs,
            TAPS=tile.taps,
            num_warps=tile.warps,
        )

    return run


@triton.jit(do_not_specialize=["height", "width", "planes"])
def first_convolution(
    source,
    taps,
    bias,
    target,
    source_n,
    source_c,
    source_y,
    source_x,
    target_n,
    target_c,
    target_y,
    target_x,
    height,
    width,
    planes,
    outputs,
    PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    TAPS: tl.constexpr,
):
    output_tiles = tl.cdiv(outputs, OUTPUTS)
    output = tl.program_id(0) % output_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    pixel = tl.program_id(0) // output_tiles * PIXELS + tl.arange(0, PIXELS)
    picture = tl.program_id(1).to(tl.int64)
    y = pixel // width
    x = pixel % width
    inside = pixel < height * width

    total = tl.zeros([PIXELS, OUTPUTS], tl.float32)
    for begin in range(0, 9 * planes, TAPS):
        # Rows of the weights: tap by tap, in each all planes.
        row = begin + tl.arange(0, TAPS)
        tap = row // planes
        tap_y = y[:, None] + (tap // 3 - 1)[None, :]
        tap_x = x[:, None] + (tap % 3 - 1)[None, :]
        read = inside[:, None] & (row < 9 * planes)[None, :]
        read = read & (tap_y >= 0) & (tap_y < height) & (tap_x >= 0) & (tap_x < width)
        place = source + picture * source_n + (row % planes * source_c)[None, :]
        values = tl.load(place + tap_y * source_y + tap_x * source_x, mask=read, other=0.0)
        weights = tl.load(
            taps + row[:, None] * outputs + output[None, :],
            mask=(row < 9 * planes)[:, None] & (output < outputs)[None, :],
            other=0.0,
        )
        total = tl.dot(values.to(taps.dtype.element_ty), weights, total, input_precision="ieee")

    total = tl.maximum(total + tl.load(bias + output, mask=output < outputs, other=0.0)[None, :], 0.0)
    place = (target + picture * target_n + y * target_y + x * target_x)[:, None]
    written = inside[:, None] & (output < outputs)[None, :]
    tl.store(place + (output * target_c)[None, :], total.to(target.dtype.element_ty), mask=written)
