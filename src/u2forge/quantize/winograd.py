"""What integer kernels of the form F(4×4, 3×3) need to know of their inputs: how large transformed tiles become.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4.3: a 6×6 tile d,
4 apart, becomes BᵀdB; each of its 36 positions has a range of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from u2forge.passes.surgery import add_initializer

TILE = 6
STEP = 4
# Bᵀ of that section.
TRANSFORM = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)


def add_tile_maximum(
    graph: ir.Graph,
    value: ir.Value,
    size: tuple[int, int, int],
    *,
    node: Callable[..., ir.Value],
    space: ir.Value,
) -> ir.Value:
    """(1, C · 36, 1, 1): the largest |BᵀdB| over all tiles, of each channel and position, as nodes of the graph.

    size: the value's channels, height and width; node: appends a node to the graph (operator, inputs,
    attributes); space: the constant axes [2, 3]. The tiles are those of a convolution padded by one, filled up
    with zeros to whole tiles.
    """
    channels, height, width = size
    kernels = np.einsum("ik,jl->ijkl", TRANSFORM, TRANSFORM).reshape(TILE * TILE, 1, TILE, TILE)
    weight = add_initializer(
        graph, f"observe.transform.{channels}", np.tile(kernels, (channels, 1, 1, 1)).astype(np.float32)
    )
    transformed = node(
        "Conv",
        [value, weight],
        group=channels,
        kernel_shape=[TILE, TILE],
        strides=[STEP, STEP],
        pads=[1, 1, _behind(height), _behind(width)],
        dilations=[1, 1],
    )
    return node("ReduceMax", [node("Abs", [transformed]), space], keepdims=1)


def _behind(size: int) -> int:
    """Zeros behind a row or column of `size`, one being before it, so that the last tile is whole."""
    tiles = -(-size // STEP)
    return (tiles - 1) * STEP + TILE - 1 - size
