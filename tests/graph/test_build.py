"""The graph that is built from arrays computes what upstream's PyTorch network computes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_networks import (
    TINY,
    random_arrays,
    random_batch,
    random_graph,
    run_onnxruntime,
    run_reference,
    worst_difference,
)
from u2forge.graph.architecture import U2NETP, Architecture
from u2forge.graph.build import OUTPUT_NAMES, graph_from_arrays
from u2forge.graph.state_dict import upstream_state_dict

# Two float32 libraries sum in different orders; probabilities are at most 1.
TOLERANCE = 1e-5


def torch_outputs(
    architecture: Architecture, arrays: dict[str, np.ndarray], batch: np.ndarray
) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    from torch_u2net import U2NET

    net = U2NET(
        tuple(stage.mid_channels for stage in architecture.stages),
        tuple(stage.out_channels for stage in architecture.stages),
    )
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
    with torch.no_grad():
        return [output.numpy() for output in net.eval()(torch.from_numpy(batch))]


@pytest.mark.needs_torch
@pytest.mark.parametrize("size", [(97, 131), (64, 64), (32, 45)])
def test_all_outputs_equal_pytorch(size: tuple[int, int]) -> None:
    arrays = random_arrays(TINY, batch_norm=True)
    batch = random_batch(3, 3, *size)
    ours = run_onnxruntime(graph_from_arrays(TINY, arrays), {"image": batch})
    theirs = torch_outputs(TINY, arrays, batch)
    assert len(ours) == 7
    assert worst_difference(ours, theirs) < TOLERANCE
    # The comparison would be empty if the random maps were flat.
    assert min(float(output.std()) for output in ours) > 0.001


@pytest.mark.needs_torch
def test_small_official_widths_equal_pytorch() -> None:
    arrays = random_arrays(U2NETP, batch_norm=True)
    batch = random_batch(1, 3, 97, 131)
    ours = run_onnxruntime(graph_from_arrays(U2NETP, arrays), {"image": batch})
    assert worst_difference(ours, torch_outputs(U2NETP, arrays, batch)) < TOLERANCE


@pytest.mark.needs_torch
def test_upstream_loads_the_state_dict_of_folded_weights() -> None:
    arrays = random_arrays(TINY, batch_norm=False)
    state_dict = upstream_state_dict(TINY, arrays)
    batch = random_batch(1, 3, 40, 56)
    ours = run_onnxruntime(graph_from_arrays(TINY, arrays), {"image": batch})
    assert worst_difference(ours, torch_outputs(TINY, state_dict, batch)) < TOLERANCE


@pytest.mark.needs_torch
def test_parameters_are_in_the_order_of_upstream() -> None:
    pytest.importorskip("torch")
    from torch_u2net import U2NET

    net = U2NET((1,) * 11, (1,) * 11)
    theirs = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    assert list(upstream_state_dict(TINY, random_arrays(TINY, batch_norm=False))) == theirs


def test_the_reference_evaluator_agrees() -> None:
    batch = random_batch(1, 3, 33, 47)
    graph = random_graph()
    ours = run_onnxruntime(graph, {"image": batch})
    assert worst_difference(ours, run_reference(graph, {"image": batch})) < TOLERANCE


@settings(max_examples=8, deadline=None)
@given(height=st.integers(32, 300), width=st.integers(32, 300), batch_size=st.integers(1, 3))
def test_any_size_gives_maps_of_that_size(height: int, width: int, batch_size: int) -> None:
    outputs = run_onnxruntime(random_graph(), {"image": random_batch(batch_size, 3, height, width)})
    assert [output.shape for output in outputs] == [(batch_size, 1, height, width)] * 7
    assert all(np.isfinite(output).all() for output in outputs)


def test_names_are_upstreams_module_paths() -> None:
    graph = random_graph().graph
    nodes = {node.name: node for node in graph}
    assert len(nodes) == graph.num_nodes()
    assert nodes["stage5d.rebnconv4.conv_s1"].attributes["dilations"].as_ints() == (8, 8)
    assert nodes["stage1.rebnconvin.bn_s1"].op_type == "BatchNormalization"
    assert nodes["side1"].op_type == "Conv"
    assert [value.name for value in graph.outputs] == list(OUTPUT_NAMES)
    assert str(graph.inputs[0].shape) == "[N,3,H,W]"


def test_batch_norm_nodes_stand_where_the_arrays_have_them() -> None:
    expected = {"Conv": 119, "Relu": 112, "Concat": 51, "Resize": 38, "Shape": 38, "MaxPool": 33, "Add": 11}
    counts = [
        Counter(node.op_type for node in random_graph(batch_norm=batch_norm).graph)
        for batch_norm in (False, True)
    ]
    assert counts[0] == expected | {"Sigmoid": 7}
    assert counts[1] == expected | {"Sigmoid": 7, "BatchNormalization": 112}


def test_same_arrays_give_the_same_bytes() -> None:
    first, second = (ir.to_proto(random_graph()).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
