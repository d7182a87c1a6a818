"""3×3 convolution of few channels in Triton, row by row: weights stay, each row of pixels comes once.

A thin layer's time is that of its reads: tap by tap, every pixel comes from the second-level cache nine times, and the
weights with every tile. Here a program walks down a strip of the picture with all its weights at hand. A row that it
reads is multiplied for the three rows of results that it belongs to, whose sums it carries along; the two neighbours to
the side are read shifted by a pixel, from the first-level cache. Two rows at a time, so that 2×2 maxima are at hand.
"""

# Kernels are read by Triton's compiler, not by Python: their arguments have its types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, import-not-found"
from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import Run
from u2forge.native.plan import Kind


@dataclass(frozen=True)
class RowTile:
    """columns × rows: the strip of pixels that a program walks down, an even number of rows. outputs: how many channels
    it computes. channels: no fewer than the input has. All but rows are powers of two."""

    columns: int
    rows: int
    outputs: int
    channels: int
    warps: int = 4
    stages: int = 1

    def __str__(self) -> str:
        return (
            f"rows {self.columns}×{self.rows}×{self.outputs}×{self.channels},"
            f" {self.warps} warps, {self.stages} stages"
        )


def row_convolution_step(step: PlacedStep, tile: RowTile) -> Run:
    """Computes a rectified 3×3 convolution without dilation with the tile each time that it is called."""
    parameters = step.parameters
    assert parameters is not None
    batch, channels, height, width = step.source.shape
    outputs = step.target.shape[1]
    assert (step.kind, step.dilation) == (Kind.CONVOLUTION, 1)
    assert channels <= tile.channels
    # Kernels take no None for a tensor: what is unused there is never read or written.
    residual = step.target if step.residual is None else step.residual
    pooled = step.target if step.pooled is None else step.pooled
    grid = (
        triton.cdiv(width, tile.columns) * triton.cdiv(outputs, tile.outputs),
        triton.cdiv(height, tile.rows),
        batch,
    )

    def run() -> None:
        row_convolution[grid](
            step.source,
            parameters.taps,
            parameters.bias,
            residual,
            step.target,
            pooled,
            *step.source.stride(),
            *residual.stride(),
            *step.target.stride(),
            *pooled.stride(),
            height,
            width,
            channels,
            outputs,
            tile.rows,
            COLUMNS=tile.columns,
            OUTPUTS=tile.outputs,
            CHANNELS=tile.channels,
            ADDS=step.residual is not None,
            POOLS=step.pooled is not None,
            STAGES=tile.stages,
            num_warps=tile.warps,
        )

    return run


@triton.jit
def _weights(taps, channel, channels, output, outputs, TAP: tl.constexpr):
    """The weights of one tap: (CHANNELS, OUTPUTS)."""
    return tl.load(
        taps + (TAP * channels + channel)[:, None] * outputs + output[None, :],
        mask=(channel < channels)[:, None] & (output < outputs)[None, :],
        other=0.0,
    )


@triton.jit
def _pixels(row, x, end, source_x, channel, channels, source_c):
    """One row of pixels before its end, zero beside the picture: (COLUMNS, CHANNELS)."""
    read = (x >= 0) & (x < end)
    return tl.load(
        (row + x * source_x)[:, None] + (channel * source_c)[None, :],
        mask=read[:, None] & (channel < channels)[None, :],
        other=0.0,
        cache_modifier=".ca",
    )


@triton.jit
def _products(total, left, middle, right, first, second, third):
    """The total, plus a row of pixels times one row of the kernel's weights."""
    total = tl.dot(left, first, total, input_precision="ieee")
    total = tl.dot(middle, second, total, input_precision="ieee")
    return tl.dot(right, third, total, input_precision="ieee")


@triton.jit
def _finished(
    total, bias, residual, target, y, x, end, output, outputs, y_r, x_r, c_r, y_t, x_t, c_t, ADDS: tl.constexpr
):  # fmt: skip
    """A row of results as it was stored, before its end; zero behind it."""
    written = (x < end)[:, None] & (output < outputs)[None, :]
    total = tl.maximum(total + bias[None, :], 0.0)
    if ADDS:
        place = (residual + y * y_r + x * x_r)[:, None] + (output * c_r)[None, :]
        total += tl.load(place, mask=written, other=0.0).to(tl.float32)
    place = (target + y * y_t + x * x_t)[:, None] + (output * c_t)[None, :]
    tl.store(place, total.to(target.dtype.element_ty), mask=written)
    # For 2×2 maxima, where pixels outside count for nothing: rectified values are not negative.
    return tl.where((x < end)[:, None], total, 0.0)


@triton.jit(do_not_specialize=["height", "width", "rows"])
def row_convolution(
    source,
    taps,
    bias,
    residual,
    target,
    pooled,
    source_n,
    source_c,
    source_y,
    source_x,
    residual_n,
    residual_c,
    residual_y,
    residual_x,
    target_n,
    target_c,
    target_y,
    target_x,
    pooled_n,
    pooled_c,
    pooled_y,
    pooled_x,
    height,
    width,
    channels,
    outputs,
    rows,
    COLUMNS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    CHANNELS: tl.constexpr,
    ADDS: tl.constexpr,
    POOLS: tl.constexpr,
    STAGES: tl.constexpr,
):
    output_tiles = tl.cdiv(outputs, OUTPUTS)
    output = tl.program_id(0) % output_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    x = tl.program_id(0) // output_tiles * COLUMNS + tl.arange(0, COLUMNS)
    first_row = tl.program_id(1) * rows
    picture = tl.program_id(2).to(tl.int64)
    source += picture * source_n
    residual += picture * residual_n
    target += picture * target_n
    pooled += picture * pooled_n
    channel = tl.arange(0, CHANNELS)

    w0 = _weights(taps, channel, channels, output, outputs, 0)
    w1 = _weights(taps, channel, channels, output, outputs, 1)
    w2 = _weights(taps, channel, channels, output, outputs, 2)
    w3 = _weights(taps, channel, channels, output, outputs, 3)
    w4 = _weights(taps, channel, channels, output, outputs, 4)
    w5 = _weights(taps, channel, channels, output, outputs, 5)
    w6 = _weights(taps, channel, channels, output, outputs, 6)
    w7 = _weights(taps, channel, channels, output, outputs, 7)
    w8 = _weights(taps, channel, channels, output, outputs, 8)
    added = tl.load(bias + output, mask=output < outputs, other=0.0)

    # What rows above gave to the results of the next two rows.
    above = tl.zeros([COLUMNS, OUTPUTS], tl.float32)
    below = tl.zeros([COLUMNS, OUTPUTS], tl.float32)
    # The first round only begins sums: what it finishes belongs to the strip above.
    for index in tl.range(-1, rows // 2, num_stages=STAGES):
        y = first_row + index * 2
        row = source + (y + 1) * source_y
        end = tl.where((y + 1 >= 0) & (y + 1 < height), width, 0)
        left = _pixels(row, x - 1, end, source_x, channel, channels, source_c)
        middle = _pixels(row, x, end, source_x, channel, channels, source_c)
        right = _pixels(row, x + 1, end, source_x, channel, channels, source_c)
        upper = _products(above, left, middle, right, w6, w7, w8)
        below = _products(below, left, middle, right, w3, w4, w5)
        above = _products(tl.zeros([COLUMNS, OUTPUTS], tl.float32), left, middle, right, w0, w1, w2)

        row += source_y
        end = tl.where(y + 2 < height, width, 0)
        left = _pixels(row, x - 1, end, source_x, channel, channels, source_c)
        middle = _pixels(row, x, end, source_x, channel, channels, source_c)
        right = _pixels(row, x + 1, end, source_x, channel, channels, source_c)
        lower = _products(below, left, middle, right, w6, w7, w8)
        above = _products(above, left, middle, right, w3, w4, w5)
        below = _products(tl.zeros([COLUMNS, OUTPUTS], tl.float32), left, middle, right, w0, w1, w2)

        # A row that is another strip's, or below the picture, ends where it begins.
        upper_end = tl.where((y >= first_row) & (y < height), width, 0)
        lower_end = tl.where((y >= first_row) & (y + 1 < height), width, 0)
        upper = _finished(
            upper, added, residual, target, y, x, upper_end, output, outputs,
            residual_y, residual_x, residual_c, target_y, target_x, target_c, ADDS,
        )  # fmt: skip
        lower = _finished(
            lower, added, residual, target, y + 1, x, lower_end, output, outputs,
            residual_y, residual_x, residual_c, target_y, target_x, target_c, ADDS,
        )  # fmt: skip
        if POOLS:
            maxima = tl.max(tl.reshape(tl.maximum(upper, lower), [COLUMNS // 2, 2, OUTPUTS]), 1)
            half = tl.program_id(0) // output_tiles * (COLUMNS // 2) + tl.arange(0, COLUMNS // 2)
            place = (pooled + y // 2 * pooled_y + half * pooled_x)[:, None] + (output * pooled_c)[None, :]
            written = (half * 2 < upper_end)[:, None] & (output < outputs)[None, :]
            tl.store(place, maxima.to(pooled.dtype.element_ty), mask=written)
