"""3×3 convolution in Triton, tap by tap: (N, H, W, C) channels in, channels (or float32 planes) out.

Each program computes a tile of pixels by output channels as nine matrix products, one for each tap, of the tap's pixels
with the tap's weights; then adds the bias, rectifies, adds the residual, stores, and stores 2×2 maxima.
"""

# Kernels are read by Triton's compiler, not by Python: their arguments have its types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, import-not-found"
from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import Run, pool_into
from u2forge.native.plan import Kind


@dataclass(frozen=True)
class ConvolutionTile:
    """pixels × outputs: what one program computes; channels: how many of the input it multiplies at a time.

    patch_width: the tile's pixels are a rectangle so wide, and 2×2 maxima are taken within it; 0: they follow each
    other through all pictures, which wastes none at small sizes, and maxima are a step of their own.
    """

    pixels: int
    outputs: int
    channels: int
    patch_width: int
    warps: int = 4
    stages: int = 3

    def __str__(self) -> str:
        place = f"in rows of {self.patch_width}" if self.patch_width else "in sequence"
        return (
            f"taps {self.pixels}×{self.outputs}×{self.channels} {place},"
            f" {self.warps} warps, {self.stages} stages"
        )


def convolution_step(step: PlacedStep, tile: ConvolutionTile) -> Run:
    """Computes a 3×3 convolution of blocked channels with the tile each time that it is called."""
    parameters, pooled = step.parameters, step.pooled
    assert parameters is not None
    batch, channels, height, width = step.source.shape
    outputs = step.target.shape[1]
    fused_pool = pooled is not None and tile.patch_width > 0
    # Kernels take no None for a tensor: what is unused there is never read or written.
    residual = step.target if step.residual is None else step.residual
    maxima = pooled if pooled is not None and fused_pool else step.target
    grid = (_pixel_tiles(tile, batch, height, width) * triton.cdiv(outputs, tile.outputs),)

    def run() -> None:
        convolution[grid](
            step.source,
            parameters.taps,
            parameters.bias,
            residual,
            step.target,
            maxima,
            *step.source.stride(),
            *residual.stride(),
            *step.target.stride(),
            *maxima.stride(),
            batch,
            height,
            width,
            channels,
            outputs,
            step.dilation,
            PIXELS=tile.pixels,
            OUTPUTS=tile.outputs,
            CHANNELS=tile.channels,
            PATCH_WIDTH=tile.patch_width,
            RECTIFIES=step.kind is Kind.CONVOLUTION,
            ADDS=step.residual is not None,
            POOLS=fused_pool,
            num_warps=tile.warps,
            num_stages=tile.stages,
        )
        if pooled is not None and not fused_pool:
            pool_into(step.target, pooled)

    return run


def _pixel_tiles(tile: ConvolutionTile, batch: int, height: int, width: int) -> int:
    if not tile.patch_width:
        return int(triton.cdiv(batch * height * width, tile.pixels))
    rows = tile.pixels // tile.patch_width
    return batch * int(triton.cdiv(height, rows) * triton.cdiv(width, tile.patch_width))


@triton.jit(do_not_specialize=["batch", "height", "width", "dilation"])
def convolution(
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
    batch,
    height,
    width,
    channels,
    outputs,
    dilation,
    PIXELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PATCH_WIDTH: tl.constexpr,
    RECTIFIES: tl.constexpr,
    ADDS: tl.constexpr,
    POOLS: tl.constexpr,
):
    # Programs of one tile of pixels follow each other: they read the same ones.
    output_tiles = tl.cdiv(outputs, OUTPUTS)
    tile = tl.program_id(0) // output_tiles
    output = tl.program_id(0) % output_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    pixel = tl.arange(0, PIXELS)
    if PATCH_WIDTH > 0:
        PATCH_HEIGHT: tl.constexpr = PIXELS // PATCH_WIDTH
        columns = tl.cdiv(width, PATCH_WIDTH)
        rows = tl.cdiv(height, PATCH_HEIGHT)
        top = tile // columns % rows * PATCH_HEIGHT
        left = tile % columns * PATCH_WIDTH
        picture = tl.full([PIXELS], 0, tl.int64) + tile // columns // rows
        y = top + pixel // PATCH_WIDTH
        x = left + pixel % PATCH_WIDTH
        inside = (y < height) & (x < width)
    else:
        pixel += tile * PIXELS
        size = height * width
        picture = (pixel // size).to(tl.int64)
        y = pixel % size // width
        x = pixel % width
        inside = picture < batch

    channel = tl.arange(0, CHANNELS)
    steps = tl.cdiv(channels, CHANNELS)
    origin = source + picture * source_n
    total = tl.zeros([PIXELS, OUTPUTS], tl.float32)
    for index in range(9 * steps):
        tap = index // steps
        here = index % steps * CHANNELS + channel
        tap_y = y + (tap // 3 - 1) * dilation
        tap_x = x + (tap % 3 - 1) * dilation
        read = inside & (tap_y >= 0) & (tap_y < height) & (tap_x >= 0) & (tap_x < width)
        values = tl.load(
            (origin + tap_y * source_y + tap_x * source_x)[:, None] + here[None, :] * source_c,
            mask=read[:, None] & (here < channels)[None, :],
            other=0.0,
            # Nine taps read a pixel: it should stay in the first-level cache. Pipelined copies of Triton 3.6 go past it
            # all the same, those of 3.9 do not; plain loads (one stage) never do.
            cache_modifier=".ca",
        )
        weights = tl.load(
            taps + (tap * channels + here)[:, None] * outputs + output[None, :],
            mask=(here < channels)[:, None] & (output < outputs)[None, :],
            other=0.0,
        )
        total = tl.dot(values, weights, total, input_precision="ieee")

    total += tl.load(bias + output, mask=output < outputs, other=0.0)[None, :]
    if RECTIFIES:
        total = tl.maximum(total, 0.0)
    written = inside[:, None] & (output < outputs)[None, :]
    if ADDS:
        place = (residual + picture * residual_n + y * residual_y + x * residual_x)[:, None]
        total += tl.load(place + output[None, :] * residual_c, mask=written, other=0.0).to(tl.float32)
    place = (target + picture * target_n + y * target_y + x * target_x)[:, None]
    tl.store(place + output[None, :] * target_c, total.to(target.dtype.element_ty), mask=written)
    if POOLS:
        # Pixels outside count for nothing: rectified values are not negative.
        total = tl.where(inside[:, None], total, 0.0)
        four = tl.reshape(total, [PATCH_HEIGHT // 2, 2, PATCH_WIDTH // 2, 2, OUTPUTS])
        maxima = tl.reshape(tl.max(tl.max(four, 3), 1), [PIXELS // 4, OUTPUTS])
        quarter = tl.arange(0, PIXELS // 4)
        y = top // 2 + quarter // (PATCH_WIDTH // 2)
        x = left // 2 + quarter % (PATCH_WIDTH // 2)
        inside = (y * 2 < height) & (x * 2 < width)
        place = pooled + (tile // columns // rows).to(tl.int64) * pooled_n + y * pooled_y + x * pooled_x
        tl.store(
            place[:, None] + output[None, :] * pooled_c,
            maxima.to(pooled.dtype.element_ty),
            mask=inside[:, None] & (output < outputs)[None, :],
        )
