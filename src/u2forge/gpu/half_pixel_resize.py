"""Bilinear resizing between half-pixel centres, as ONNX means it (pytorch_half_pixel)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def resized(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(N, C, *size) of (N, C, H, W), in its type."""
    # ONNX takes the first line where there is to be one only, PyTorch the middle.
    rows, columns = (slice(1) if side == 1 else slice(None) for side in size)
    return functional.interpolate(
        x[:, :, rows, columns], size=tuple(size), mode="bilinear", align_corners=False
    )
