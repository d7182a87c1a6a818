"""A placed step → the ways to compute it: PyTorch's operators, and our kernels in the tiles that may be the fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import torch

from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import Run, joined_convolution_step, library_step
from u2forge.native.plan import Kind

LIBRARY = "library"
# Its convolution, bias and rectification in one kernel.
JOINED = "joined in the library"

Prepare = Callable[[], Run]


def step_alternatives(step: PlacedStep) -> dict[str, Prepare]:
    """By name: what prepares the step. The library's way is the first; without Triton none of ours follow.

    Convolutions in float32 are the library's on a GPU: its matrix units take no float32, and rounding is not ours to
    choose.
    """
    found: dict[str, Prepare] = {LIBRARY: partial(library_step, step)}
    if step.kind in (Kind.CONVOLUTION, Kind.FIRST_CONVOLUTION) and step.source.device.type == "cuda":
        found[JOINED] = partial(joined_convolution_step, step)
    if find_spec("triton") is not None:
        found |= dict(_KERNELS[step.kind](step)) if step.kind in _KERNELS else {}
    return found


def _convolutions(step: PlacedStep) -> Iterator[tuple[str, Prepare]]:
    from u2forge.gpu.convolution_kernel import ConvolutionTile, convolution_step

    if not _multiplies(step):
        return
    channels, width = step.source.shape[1], step.source.shape[3]
    outputs = step.target.shape[1]
    # A product needs 16 of each at least; wider tiles than 128 leave no registers for anything else.
    block = min(128, max(16, _power_of_two(outputs)))
    depth = next(size for size in (64, 32, 16) if channels % size == 0)
    # Few tiles: each takes seconds to compile. A patch shares its rows' neighbours, and takes maxima at once; in
    # sequence no pixel of a small picture is wasted.
    small = width < 64
    patch = 32 if not small else 16 if step.pooled is not None else 0
    tiles = [
        ConvolutionTile(pixels, block, depth, patch, warps=8 if pixels * block > 128 * 64 else 4)
        for pixels in ((64,) if small and block < 128 else (64, 128))
    ]
    if block == 128:
        tiles.append(ConvolutionTile(64, 64, depth, patch))
    elif not small:
        tiles.append(ConvolutionTile(128, block, depth, patch, stages=1))
    for tile in tiles:
        yield str(tile), partial(convolution_step, step, tile)
    yield from _row_convolutions(step)


def _row_convolutions(step: PlacedStep) -> Iterator[tuple[str, Prepare]]:
    from u2forge.gpu.row_convolution_kernel import RowTile, row_convolution_step

    _, channels, height, width = step.source.shape
    depth, outputs = _power_of_two(channels), min(32, _power_of_two(step.target.shape[1]))
    plain = step.kind is Kind.CONVOLUTION and step.dilation == 1 and min(height, width) >= 40
    # More outputs would read the strip more often than the taps are worth.
    if not plain or step.target.shape[1] > 128 or depth * outputs > _weights_at_hand(step.source.device):
        return
    # 128 columns take eight warps as many registers each; where a residual is added they spill.
    for rows in (16, 40):
        tile = RowTile(64, rows, outputs, depth)
        yield str(tile), partial(row_convolution_step, step, tile)


def _weights_at_hand(device: torch.device) -> int:
    """The largest product of channels and outputs whose nine taps stay where the matrix units read them: in shared
    memory from capability 9.0 on, before in registers. Compiled for 9.0 and 8.0, more spills registers."""
    return 64 * 32 if _capability(device) >= (9, 0) else 32 * 16


def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (9, 0)


def _first_convolutions(step: PlacedStep) -> Iterator[tuple[str, Prepare]]:
    from u2forge.gpu.first_convolution_kernel import FirstTile, first_convolution_step

    if _multiplies(step):
        # Of 128 pixels, all taps at once, registers spill.
        tile = FirstTile(64, min(64, _power_of_two(step.target.shape[1])))
        yield str(tile), partial(first_convolution_step, step, tile)


def _upsamples(step: PlacedStep) -> Iterator[tuple[str, Prepare]]:
    from u2forge.gpu.upsample_kernel import UpsampleTile, upsample_step

    planar = step.kind is Kind.RESIZE_PLANAR
    for size in (512, 1024):
        channels = 1 if planar else min(64, _power_of_two(step.target.shape[1]))
        tile = UpsampleTile(size // channels, channels)
        yield str(tile), partial(upsample_step, step, tile)


def _multiplies(step: PlacedStep) -> bool:
    """Whether the matrix units take what the step multiplies; on a processor the interpreter takes all."""
    assert step.parameters is not None
    return step.source.device.type == "cpu" or step.parameters.weight.dtype is not torch.float32


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


_KERNELS: dict[Kind, Callable[[PlacedStep], Iterator[tuple[str, Prepare]]]] = {
    Kind.CONVOLUTION: _convolutions,
    Kind.SIDE_CONVOLUTION: _convolutions,
    Kind.FIRST_CONVOLUTION: _first_convolutions,
    Kind.RESIZE: _upsamples,
    Kind.RESIZE_PLANAR: _upsamples,
}
