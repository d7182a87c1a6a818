"""Buffers that lie in the same memory are never needed at once, and few blocks are needed."""

from __future__ import annotations

import math

import onnx_ir as ir
import pytest
from random_graphs import random_operators

from small_networks import random_arrays
from u2forge.gpu.shared_memory import SharedMemory, shared_memory
from u2forge.graph.architecture import U2NETP
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import Lowered, lower
from u2forge.passes.recipes import offline_graph


def u2netp() -> ir.Model:
    return offline_graph(
        graph_from_arrays(U2NETP, random_arrays(U2NETP, batch_norm=True)),
        outputs="d0",
        batch_size=None,
        height=320,
        width=320,
        precision="force_float32",
        embed_preprocessing=False,
    )


def sizes_of(lowered: Lowered) -> list[int]:
    return [math.prod((buffer.count, buffer.height, buffer.width)) for buffer in lowered.buffers]


def check(lowered: Lowered, shared: SharedMemory) -> None:
    """Walks the steps: what each reads is still what was written there, and nobody wrote into its block since."""
    owner: dict[int, int] = {}
    own = {
        number
        for number, buffer in enumerate(lowered.buffers)
        if buffer.input_index is not None or buffer.output_index is not None
    }
    for number in own:
        assert shared.blocks.count(shared.blocks[number]) == 1
        owner[shared.blocks[number]] = number
    for step in lowered.steps:
        written = {view.buffer for view in (step.target, step.pooled) if view is not None}
        read = {view.buffer for view in (step.source, step.residual) if view is not None}
        for number in read:
            assert owner[shared.blocks[number]] == number
        for number in written:
            owner[shared.blocks[number]] = number
        for number in read:
            assert owner[shared.blocks[number]] == number
    for number, size in enumerate(sizes_of(lowered)):
        assert shared.sizes[shared.blocks[number]] >= size


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed: int) -> None:
    lowered = lower(random_operators(seed))
    check(lowered, shared_memory(lowered.buffers, lowered.steps, sizes_of(lowered)))


def test_a_network_needs_less_than_half_of_its_buffers() -> None:
    lowered = lower(u2netp())
    sizes = sizes_of(lowered)
    shared = shared_memory(lowered.buffers, lowered.steps, sizes)
    check(lowered, shared)
    assert sum(shared.sizes) < sum(sizes) / 2
