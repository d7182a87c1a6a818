"""Resizing of 8-bit pixels on the device that they lie on, tap by tap; the host waits for nothing.

Equal to `resample.py` and to Pillow by doing the same operations in the same order, one kernel each: what a compiler
joins to one may round once less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from u2forge.pipeline.device_tables import DeviceTaps
from u2forge.pipeline.pillow_order import rows_before_columns
from u2forge.pipeline.resample_taps import PILLOW_BITS

if TYPE_CHECKING:
    import torch

# Of a batch of pictures of one size.
_ROWS, _COLUMNS = 1, 2
# Values that a pass makes at once, of 9 bytes each while it does: 150 MB beside a picture of 100 megapixels.
_VALUES_PER_BLOCK = 1 << 24


def resize_bilinear_on_device(rgb: torch.Tensor, *, rows: DeviceTaps, columns: DeviceTaps) -> torch.Tensor:
    """(N, h, w, 3) float32: what resize_bilinear gives of each, bit by bit. rgb: (N, H, W, 3) uint8; rows, columns:
    linear_taps."""
    import torch

    above, below = (_weighted(rgb.index_select(_ROWS, read), columns, axis=_COLUMNS) for read in rows.index)
    resized = above * rows.weights[0][:, None, None]
    resized += below * rows.weights[1][:, None, None]
    if rgb.shape[_ROWS] < resized.shape[_ROWS] or rgb.shape[_COLUMNS] < resized.shape[_COLUMNS]:
        lowest = rgb.amin(dim=(1, 2, 3), keepdim=True)
        resized = torch.maximum(resized, lowest.to(resized.dtype))
    return resized


def resize_antialiased_on_device(rgb: torch.Tensor, *, rows: DeviceTaps, columns: DeviceTaps) -> torch.Tensor:
    """(N, h, w, 3) float32: what resize_antialiased gives of each, within 1e-3 (of 255): its sums are added in another
    order. rgb: (N, H, W, 3) uint8; rows, columns: antialiased_taps."""
    return _weighted(_weighted(rgb, rows, axis=_ROWS), columns, axis=_COLUMNS)


def resize_as_pillow_on_device(
    pixels: torch.Tensor, *, rows: DeviceTaps | None, columns: DeviceTaps | None
) -> torch.Tensor:
    """(N, h, w, …) uint8: what Pillow's resize gives of each, byte by byte. pixels: (N, H, W, …) uint8; rows, columns:
    pillow_taps, None where the size stays."""
    size_in = pixels.shape[_ROWS], pixels.shape[_COLUMNS]
    size_out = _lines(rows, size_in[0]), _lines(columns, size_in[1])
    passes = [(columns, _COLUMNS), (rows, _ROWS)]
    if rows_before_columns(size_in, size_out):
        passes.reverse()
    for taps, axis in passes:
        if taps is not None:
            pixels = _pillow_pass(pixels, taps, axis=axis)
    return pixels


def _lines(taps: DeviceTaps | None, size: int) -> int:
    return size if taps is None else taps.index.shape[1]


def _pillow_pass(pixels: torch.Tensor, taps: DeviceTaps, *, axis: int) -> torch.Tensor:
    import torch

    shape = list(pixels.shape)
    shape[axis] = taps.index.shape[1]
    resized = torch.empty(shape, dtype=torch.uint8, device=pixels.device)
    lines = max(1, _VALUES_PER_BLOCK * shape[axis] // max(1, resized.numel()))
    for start in range(0, shape[axis], lines):
        block = DeviceTaps(taps.index[:, start : start + lines], taps.weights[:, start : start + lines])
        total = _weighted(pixels, block, axis=axis).add_(1 << (PILLOW_BITS - 1))
        total = total.bitwise_right_shift_(PILLOW_BITS).clamp_(0, 255)
        resized.narrow(axis, start, block.index.shape[1]).copy_(total)
    return resized


def _weighted(pixels: torch.Tensor, taps: DeviceTaps, *, axis: int) -> torch.Tensor:
    """The sum of the lines that the taps read times their weights, along that axis, of the weights' type."""
    shape = [1] * pixels.ndim
    shape[axis] = -1
    total = pixels.index_select(axis, taps.index[0]) * taps.weights[0].view(shape)
    for read, weight in zip(taps.index[1:], taps.weights[1:], strict=True):
        total += pixels.index_select(axis, read) * weight.view(shape)
    return total
