"""Operators, parameters, bytes and multiply-accumulates of whole graphs and of single layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from small_networks import TINY, random_graph
from u2forge.errors import InputError
from u2forge.graph.architecture import U2NET, convolutions, expected_parameters
from u2forge.graph.build import graph_from_arrays
from u2forge.graph.summary import summarize
from u2forge.passes.recipes import offline_graph


def test_the_full_model_has_the_published_numbers() -> None:
    # Zeros that take no memory: only the shapes count here.
    arrays = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in expected_parameters(U2NET, batch_norm=False).items()
    }
    summary = summarize(graph_from_arrays(U2NET, arrays))
    assert round(summary.macs / 1e9, 2) == 58.60
    assert summary.operators["Conv"] == 119
    assert summary.parameters == 43_981_069
    assert summary.weight_bytes == 4 * summary.parameters
    assert (summary.height, summary.width) == (320, 320)
    dilated = sum(layer.macs for layer in summary.layers if layer.dilation not in (None, (1, 1)))
    assert round(dilated / 1e9, 2) == 3.76
    by_size = {
        size: sum(layer.macs for layer in summary.layers if (layer.output_shape or ())[2:] == (size, size))
        for size in (320, 160, 80, 40, 20, 10)
    }
    assert [round(macs / 1e9, 1) for macs in by_size.values()] == [16.3, 10.8, 10.5, 10.4, 9.4, 1.2]


def test_one_layer_by_hand() -> None:
    summary = summarize(random_graph(batch_norm=False), height=64, width=96)
    layer = next(layer for layer in summary.layers if layer.name == "stage2.rebnconv1.conv_s1")
    row = next(row for row in convolutions(TINY) if row.module == layer.name)
    assert layer.output_shape == (1, row.out_channels, 32, 48)
    assert (layer.kernel, layer.dilation) == ((3, 3), (1, 1))
    assert layer.parameters == row.out_channels * row.in_channels * 9 + row.out_channels
    assert layer.weight_bytes == 4 * layer.parameters
    assert layer.macs == row.out_channels * row.in_channels * 9 * 32 * 48
    assert summary.macs == sum(layer.macs for layer in summary.layers)


@pytest.mark.parametrize("embedded", [True, False])
def test_offline_models_are_summarised_at_their_own_size(embedded: bool) -> None:
    options = {"outputs": "d0", "batch_size": 4, "height": 48, "width": 80}
    models = [
        offline_graph(random_graph(), precision=precision, embed_preprocessing=embedded, **options)
        for precision in ("force_float32", "force_float16")
    ]
    plain, half = (summarize(model) for model in models)
    assert (plain.height, plain.width) == (48, 80)
    assert plain.macs == half.macs == summarize(random_graph(), height=48, width=80).macs
    assert plain.parameters == half.parameters
    kernels = sum(math.prod(s) for s in expected_parameters(TINY, batch_norm=False).values() if len(s) == 4)
    assert plain.weight_bytes - half.weight_bytes == 2 * kernels


def test_another_size_than_the_fixed_one_is_refused() -> None:
    model = offline_graph(
        random_graph(),
        outputs="d0",
        batch_size=None,
        height=48,
        width=80,
        precision="force_float32",
        embed_preprocessing=False,
    )
    with pytest.raises(InputError, match=r"expected height 48, which the graph is fixed to; found 320"):
        summarize(model, height=320)
