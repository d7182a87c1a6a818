"""Each kernel against PyTorch's operators, in Triton's interpreter; test_kernels_interpreted.py runs it on its own.

What a step reads lies in wider buffers, whose other channels are poisoned; what it writes lies in buffers of NaN, of
which nothing but the step's channels may change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from small_networks import TINY, random_arrays, random_batch, run_onnxruntime
from u2forge.gpu.convolution_kernel import ConvolutionTile, convolution_step
from u2forge.gpu.convolution_parameters import ConvolutionParameters
from u2forge.gpu.first_convolution_kernel import FirstTile, first_convolution_step
from u2forge.gpu.fused_network import FusedNetwork
from u2forge.gpu.kernel_choice import KernelChoice
from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.pytorch_steps import library_step
from u2forge.gpu.row_convolution_kernel import RowTile, row_convolution_step
from u2forge.gpu.step_alternatives import LIBRARY, step_alternatives
from u2forge.gpu.upsample_kernel import UpsampleTile, upsample_step
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import lower
from u2forge.native.plan import Kind
from u2forge.passes.recipes import offline_graph

TYPES = [torch.float32, torch.float16]


@dataclass(frozen=True)
class Layer:
    """Sizes of a step. More of a buffer than the step's own channels are at its place, and behind it."""

    channels: int
    outputs: int
    height: int
    width: int
    batch: int = 1
    dilation: int = 1
    adds: bool = False
    pools: bool = False
    kind: Kind = Kind.CONVOLUTION
    target_size: tuple[int, int] | None = None


def within(channels: int, size: tuple[int, int, int], dtype: torch.dtype, *, planar: bool) -> torch.Tensor:
    """(N, C, H, W) of NaN: some channels of a wider buffer, planes or blocked channels."""
    batch, height, width = size
    shape = (batch, channels + 32, height, width) if planar else (batch, height, width, channels + 32)
    buffer = torch.full(shape, math.nan, dtype=torch.float32 if planar else dtype)
    return (buffer if planar else buffer.permute(0, 3, 1, 2)).narrow(1, 16, channels)


def random_step(layer: Layer, dtype: torch.dtype) -> PlacedStep:
    random = torch.Generator().manual_seed(0)
    kind = layer.kind
    planar_source = kind in (Kind.FIRST_CONVOLUTION, Kind.RESIZE_PLANAR)
    planar_target = kind in (Kind.SIDE_CONVOLUTION, Kind.RESIZE_PLANAR)
    size = (layer.batch, layer.height, layer.width)
    target_size = (layer.batch, *(layer.target_size or (layer.height, layer.width)))

    def filled(channels: int, *, planar: bool = False) -> torch.Tensor:
        tensor = within(channels, size, dtype, planar=planar)
        return tensor.copy_(torch.rand(tensor.shape, generator=random))

    weight = torch.randn((layer.outputs, layer.channels, 3, 3), generator=random) / (3 * layer.channels**0.5)
    weight = weight.to(dtype)
    halves = (layer.batch, -(-layer.height // 2), -(-layer.width // 2))
    return PlacedStep(
        kind,
        "step",
        source=filled(layer.channels, planar=planar_source),
        target=within(layer.outputs, target_size, dtype, planar=planar_target),
        residual=filled(layer.outputs) if layer.adds else None,
        pooled=within(layer.outputs, halves, dtype, planar=False) if layer.pools else None,
        dilation=layer.dilation,
        parameters=ConvolutionParameters(
            weight,
            weight.permute(2, 3, 1, 0).reshape(9, layer.channels, layer.outputs).contiguous(),
            torch.randn(layer.outputs, generator=random) / 4,
        ),
    )


def check(layer: Layer, dtype: torch.dtype, prepare: Callable[[PlacedStep], Callable[[], None]]) -> None:
    step = random_step(layer, dtype)
    library_step(step)()
    expected = [tensor.clone() for tensor in (step.target, step.pooled) if tensor is not None]
    pooled = step.pooled
    fresh = replace(step, target=_poisoned(step.target), pooled=None if pooled is None else _poisoned(pooled))
    prepare(fresh)()
    for tensor, wanted in zip((fresh.target, fresh.pooled), expected, strict=False):
        assert tensor is not None
        # Both round once; the order of their sums may tip it the other way.
        torch.testing.assert_close(tensor, wanted, rtol=torch.finfo(wanted.dtype).eps * 4, atol=2e-6)
        others = _buffer(tensor)
        assert others.isnan().sum() == others.numel() - tensor.numel()


def _poisoned(tensor: torch.Tensor) -> torch.Tensor:
    """The same place in a buffer of NaN."""
    buffer = torch.full_like(_buffer(tensor), math.nan)
    return buffer.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _buffer(tensor: torch.Tensor) -> torch.Tensor:
    """All of the memory that a tensor is a part of, in one row."""
    count = tensor.untyped_storage().nbytes() // tensor.element_size()
    return tensor.as_strided((count,), (1,), 0)


TAPS = ConvolutionTile(32, 16, 16, 8, stages=1)
SEQUENCE = ConvolutionTile(32, 16, 16, 0, stages=1)
CONVOLUTIONS = [
    (Layer(16, 16, 5, 11), TAPS),
    (Layer(48, 32, 4, 8, batch=2, adds=True), TAPS),
    (Layer(16, 16, 7, 9, batch=2, pools=True), TAPS),
    (Layer(32, 48, 6, 10, adds=True, pools=True), ConvolutionTile(64, 32, 32, 16)),
    (Layer(16, 16, 7, 9, pools=True, adds=True), SEQUENCE),
    (Layer(16, 16, 1, 1, batch=3), SEQUENCE),
    (Layer(16, 16, 1, 1, batch=3), TAPS),
    (Layer(48, 48, 9, 5, batch=2, dilation=2), SEQUENCE),
    (Layer(48, 16, 5, 7, dilation=4), TAPS),
    (Layer(16, 16, 3, 20, dilation=8, batch=2), SEQUENCE),
    (Layer(32, 1, 5, 9, batch=2, kind=Kind.SIDE_CONVOLUTION), SEQUENCE),
    (Layer(32, 3, 9, 5, kind=Kind.SIDE_CONVOLUTION), TAPS),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("layer", "tile"), CONVOLUTIONS)
def test_convolution_tap_by_tap(layer: Layer, tile: ConvolutionTile, dtype: torch.dtype) -> None:
    check(layer, dtype, lambda step: convolution_step(step, tile))


ROWS = [
    (Layer(16, 16, 7, 9), RowTile(16, 4, 16, 16)),
    (Layer(16, 16, 8, 33, batch=2, pools=True), RowTile(16, 4, 16, 16)),
    (Layer(48, 32, 5, 17, adds=True, pools=True), RowTile(16, 2, 16, 64)),
    (Layer(32, 48, 9, 16, adds=True), RowTile(16, 16, 32, 32)),
    (Layer(16, 16, 1, 1, pools=True), RowTile(16, 2, 16, 16)),
    (Layer(16, 32, 1, 40, batch=2), RowTile(32, 8, 32, 32)),
    (Layer(16, 16, 11, 1, pools=True, adds=True), RowTile(16, 6, 16, 16)),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("layer", "tile"), ROWS)
def test_convolution_row_by_row(layer: Layer, tile: RowTile, dtype: torch.dtype) -> None:
    check(layer, dtype, lambda step: row_convolution_step(step, tile))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "layer",
    [
        Layer(3, 16, 7, 9, batch=2, kind=Kind.FIRST_CONVOLUTION),
        Layer(3, 48, 1, 1, kind=Kind.FIRST_CONVOLUTION),
        Layer(5, 16, 3, 20, kind=Kind.FIRST_CONVOLUTION),
        Layer(1, 16, 6, 6, kind=Kind.FIRST_CONVOLUTION),
    ],
)
def test_first_convolution(layer: Layer, dtype: torch.dtype) -> None:
    check(layer, dtype, lambda step: first_convolution_step(step, FirstTile(32, 16)))


SIZES = [
    ((5, 7), (10, 14)),
    ((5, 7), (9, 13)),
    ((1, 1), (3, 2)),
    ((4, 6), (4, 6)),
    ((7, 9), (1, 5)),
    ((6, 3), (4, 1)),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("source", "target"), SIZES)
@pytest.mark.parametrize("kind", [Kind.RESIZE, Kind.RESIZE_PLANAR])
def test_upsample(source: tuple[int, int], target: tuple[int, int], kind: Kind, dtype: torch.dtype) -> None:
    planar = kind is Kind.RESIZE_PLANAR
    channels = 3 if planar else 48
    layer = Layer(channels, channels, *source, batch=2, kind=kind, target_size=target)
    check(layer, dtype, lambda step: upsample_step(step, UpsampleTile(16, 1 if planar else 32)))


# Row by row is the last alternative, from 40 pixels on.
@pytest.mark.parametrize(
    ("dtype", "which", "size"),
    [(torch.float32, "last", (1, 3, 41, 43)), (torch.float16, "first", (1, 3, 32, 32))],
)
def test_a_network_on_our_kernels(dtype: torch.dtype, which: str, size: tuple[int, int, int, int]) -> None:
    options: dict[str, Any] = {"precision": "force_float32", "embed_preprocessing": False}
    model = graph_from_arrays(TINY, random_arrays(TINY, batch_norm=True))
    model = offline_graph(model, outputs="all", batch_size=None, height=size[2], width=size[3], **options)
    network = FusedNetwork(lower(model), device=torch.device("cpu"), dtype=dtype, batch_size=size[0])
    by_shape = {}
    for step in network.steps:
        names = [name for name in step_alternatives(step) if name != LIBRARY]
        by_shape[step.shape] = (names or [LIBRARY])[0 if which == "first" else -1]
    ours = network.with_kernels(KernelChoice(by_shape))
    assert sum(name != LIBRARY for name in ours.kernels) == len(ours.kernels) - _library_only(network)
    assert any(name.startswith("rows") for name in ours.kernels) == (which == "last")
    batch = random_batch(*size)
    wanted = run_onnxruntime(model, {"image": batch})
    bound = 2e-5 if dtype is torch.float32 else 2e-3
    for found, expected in zip(ours(torch.from_numpy(batch)), wanted, strict=True):
        assert float(np.abs(found.numpy() - expected).max()) < bound


def _library_only(network: FusedNetwork) -> int:
    """Steps that no kernel of ours computes."""
    kinds = (Kind.POINTWISE_CONVOLUTION, Kind.SIGMOID, Kind.POOL, Kind.ADD, Kind.COPY, Kind.COPY_PLANAR)
    return sum(step.kind in kinds for step in network.steps)
