"""Which values carry the activations, who reads them, and which of them must share a range."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import by_name, float_graph, node, small_graph, value
from pass_checks import graph

from u2forge.errors import ModelError
from u2forge.quantize.wiring import (
    FUSING_REASON,
    WEIGHTS_REASON,
    activations,
    check_operators,
    float_reason,
    layers_reading,
    network_input,
    parameter,
    quantizable_layers,
    range_groups,
    sources,
)


def test_a_known_graph_passes() -> None:
    for model in (small_graph(), float_graph(), float_graph(embedded=True), float_graph(outputs="all")):
        check_operators(model.graph)


def test_a_foreign_operator_is_refused_by_name() -> None:
    with pytest.raises(
        ModelError, match=r"node 'b_relu': expected one of .*Concat.*; found LeakyRelu\. To mend"
    ):
        check_operators(small_graph(rectifier="LeakyRelu").graph)


def test_preprocessing_is_no_foreign_operator_but_its_twin_elsewhere_is() -> None:
    model = float_graph(embedded=True).clone()
    node(model, "preprocess.divide").name = "divide"
    with pytest.raises(ModelError, match=r"node 'divide': .*found Div"):
        check_operators(model.graph)


def test_sources_are_found_through_pooling_resizing_and_concatenation_in_their_order() -> None:
    model = small_graph()
    assert by_name(sources(value(model, "joined"))) == ["rb", "ra"]
    assert by_name(sources(value(model, "pooled"))) == ["ra"]
    assert by_name(sources(value(model, "logits"))) == ["e", "f"]
    assert by_name(sources(value(model, "sum"))) == ["sum"]
    assert by_name(sources(value(model, "image"))) == ["image"]


def test_the_convolution_that_fuses_logits_is_left_out() -> None:
    assert by_name(quantizable_layers(small_graph().graph)) == ["a", "b", "c", "d", "e", "f"]


def test_a_convolution_that_reads_logits_among_others_is_left_out_too() -> None:
    model = small_graph()
    node(model, "logits").replace_input_with(1, value(model, "ra"))
    assert "fuse" not in by_name(quantizable_layers(model.graph))
    node(model, "logits").replace_input_with(0, value(model, "sum"))
    assert "fuse" in by_name(quantizable_layers(model.graph))


@pytest.mark.parametrize("embedded", [False, True])
def test_of_a_network_all_layers_but_the_fusing_one_can_be_quantized(embedded: bool) -> None:
    network = float_graph(embedded=embedded).graph
    convolutions = [found for found in network if found.op_type == "Conv"]
    found = quantizable_layers(network)
    assert len(convolutions) == len(found) + 1 == 119
    (left_out,) = set(convolutions) - set(found)
    assert left_out.name == "outconv"


def test_activations_are_what_quantizable_layers_read_the_picture_first() -> None:
    assert by_name(activations(small_graph().graph)) == ["image", "ra", "rb", "sum", "rd"]


def test_the_picture_is_what_the_first_layer_reads() -> None:
    assert network_input(float_graph().graph).name == "image"
    inside = network_input(float_graph(embedded=True).graph)
    assert inside.producer().name == "preprocess.add"
    assert activations(float_graph(embedded=True).graph)[0] is inside


def test_readers_are_found_through_pooling_resizing_and_concatenation() -> None:
    model = small_graph()
    assert sorted(by_name(layers_reading(value(model, "ra")))) == ["b", "c"]
    assert by_name(layers_reading(value(model, "rb"))) == ["c"]
    assert sorted(by_name(layers_reading(value(model, "sum")))) == ["d", "f"]
    assert by_name(layers_reading(value(model, "e"))) == ["fuse"]


def test_what_is_concatenated_shares_a_range() -> None:
    groups = [sorted(by_name(group)) for group in range_groups(small_graph().graph)]
    assert groups == [["image"], ["ra", "rb"], ["sum"], ["rd"]]


def test_chained_concatenations_make_one_group() -> None:
    """In a network, a value that two concatenations read joins all of their parts."""
    network = float_graph().graph
    groups = range_groups(network)
    flat = [found for group in groups for found in group]
    assert len(flat) == len(set(flat))
    assert set(flat) == set(activations(network))
    for concatenation in (found for found in network if found.op_type == "Concat"):
        parts = set(sources(concatenation.outputs[0])) & set(flat)
        assert sum(bool(parts & set(group)) for group in groups) == bool(parts)


def test_a_parameter_is_the_initializer_itself() -> None:
    model = small_graph()
    assert parameter(node(model, "c"), 1).name == "c_w"
    assert parameter(node(model, "c"), 2).name == "c_b"


def other_graph() -> ir.Model:
    """What U²-Nets do not have: a sum that is read directly, a cubic enlargement, a concatenation of rows."""
    weights = {name: np.ones((2, 2, 1, 1), np.float32) for name in ("aw", "bw", "cw", "dw")}
    zeros = {name: np.zeros(2, np.float32) for name in ("ab", "bb", "cb", "db")}
    text = """(float[1,2,4,4] x) => (float[1,2,16,8] y, float[1,2,4,4] z) {
        [a] a = Conv(x, aw, ab)
        [b] b = Conv(a, bw, bb)
        [swish] s = HardSwish(b)
        [up] up = Resize<mode="cubic">(s, , scales)
        [rows] rows = Concat<axis=2>(up, up)
        [c] y = Conv(rows, cw, cb)
        [pooled] p = MaxPool<kernel_shape=[1,1]>(a)
        [d] z = Conv(p, dw, db)
    }"""
    return graph(text, scales=np.array([1, 1, 2, 2], np.float32), **weights, **zeros)


def test_a_sum_is_an_activation_where_it_is_read_directly() -> None:
    found = other_graph().graph
    assert by_name(quantizable_layers(found)) == ["a", "b", "c"]
    assert by_name(activations(found)) == ["x", "a", "rows"]
    (last,) = (node for node in found if node.name == "d")
    assert float_reason(last) == FUSING_REASON


def test_what_leaves_the_range_or_joins_other_axes_is_an_activation_of_its_own() -> None:
    model = other_graph()
    assert by_name(sources(value(model, "rows"))) == ["rows"]
    assert by_name(sources(value(model, "up"))) == ["up"]


def test_computed_and_one_dimensional_weights_are_a_reason() -> None:
    model = graph(
        """(float[1,2,4] x, float[1,2,4,4] p, float[2,2,1,1] w) => (float[1,2,4] y, float[1,2,4,4] z) {
            [line] y = Conv(x, v)
            [free] z = Conv(p, w)
        }""",
        v=np.ones((2, 2, 1), np.float32),
    )
    assert [float_reason(node) for node in model.graph] == [WEIGHTS_REASON] * 2
