"""Graphs of U²-Net's structure are recognised whatever they are called; others are told what differs."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import TINY, random_arrays, random_batch, random_graph, run_onnxruntime, worst_difference
from u2forge.errors import ModelError
from u2forge.graph.architecture import architecture_of, expected_parameters
from u2forge.graph.build import graph_from_arrays
from u2forge.graph.recognize import arrays_from_graph
from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import Keys, structure
from u2forge.passes.fold_batchnorm import FoldBatchNorm
from u2forge.passes.freeze_shapes import FreezeShapes
from u2forge.passes.keep_outputs import KeepOutputs
from u2forge.passes.recipes import offline_graph


def anonymous(model: ir.Model) -> ir.Model:
    """The same graph with every name replaced by a number."""
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    values += [value for node in model.graph for value in node.outputs]
    model.graph.initializers.clear()
    for number, value in enumerate(values):
        value.name = str(number)
        if value.const_value is not None:
            model.graph.register_initializer(value)
    for node in model.graph:
        node.name = None
    return model


@pytest.mark.parametrize("batch_norm", [True, False])
def test_our_own_graph_gives_its_arrays_back(batch_norm: bool) -> None:
    arrays = random_arrays(TINY, batch_norm=batch_norm)
    architecture, found = arrays_from_graph(anonymous(graph_from_arrays(TINY, arrays)))
    assert architecture == TINY
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_no_two_convolutions_look_alike() -> None:
    model = random_graph(batch_norm=False)
    values = StaticValues(model, input_shapes={"image": (1, 3, 197, 331)})
    found = structure(model, values, keys=Keys())
    keys = [found[node.outputs[0]].key for node in model.graph if node.op_type == "Conv"]
    assert len(set(keys)) == len(keys) == 119


@pytest.mark.parametrize("size", [(64, 64), (320, 320), (97, 131)])
def test_a_frozen_graph_with_d0_alone_is_recognised(size: tuple[int, int]) -> None:
    arrays = random_arrays(TINY, batch_norm=False)
    model = offline_graph(
        graph_from_arrays(TINY, arrays),
        outputs="d0",
        batch_size=4,
        height=size[0],
        width=size[1],
        precision="force_float32",
        embed_preprocessing=False,
    )
    _, found = arrays_from_graph(anonymous(model))
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_the_terms_of_a_sum_may_be_swapped() -> None:
    model = random_graph(batch_norm=False)
    for node in model.graph:
        if node.op_type == "Add":
            first, second = node.inputs
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)
    _, found = arrays_from_graph(model)
    arrays = random_arrays(TINY, batch_norm=False)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_identities_between_are_seen_through() -> None:
    model = random_graph(batch_norm=False)
    for node in list(model.graph):
        if node.op_type == "Relu":
            source = node.inputs[0]
            identity = ir.node("Identity", [source])
            identity.outputs[0].name = f"{node.name}.identity"
            node.replace_input_with(0, identity.outputs[0])
            model.graph.insert_before(node, identity)
    assert arrays_from_graph(model)[0] == TINY


def test_a_convolution_without_bias_gets_zeros() -> None:
    model = random_graph()
    conv = next(node for node in model.graph if node.name == "stage3.rebnconv2.conv_s1")
    conv.resize_inputs(2)
    _, found = arrays_from_graph(model)
    assert not found["stage3.rebnconv2.conv_s1.bias"].any()
    assert found["stage3.rebnconv1.conv_s1.bias"].any()


def test_another_epsilon_goes_into_the_variance() -> None:
    model = random_graph()
    for node in model.graph:
        if node.op_type == "BatchNormalization":
            node.attributes["epsilon"] = ir.AttrFloat32("epsilon", 1e-3)
    architecture, arrays = arrays_from_graph(model)
    batch = {"image": random_batch(1, 3, 40, 40)}
    rebuilt = graph_from_arrays(architecture, arrays)
    assert worst_difference(run_onnxruntime(model, batch), run_onnxruntime(rebuilt, batch)) < 1e-5


def test_where_only_some_batch_norms_are_folded_identities_fill_in() -> None:
    model = random_graph()
    conv = next(node for node in model.graph if node.name == "stage1.rebnconvin.conv_s1")
    norm = next(node for node in model.graph if node.name == "stage1.rebnconvin.bn_s1")
    ir.convenience.replace_all_uses_with(norm.outputs[0], conv.outputs[0])
    model.graph.remove(norm, safe=True)
    architecture, arrays = arrays_from_graph(model)
    assert len(arrays) == 686
    batch = {"image": random_batch(1, 3, 40, 40)}
    rebuilt = graph_from_arrays(architecture, arrays)
    assert worst_difference(run_onnxruntime(model, batch), run_onnxruntime(rebuilt, batch)) < 1e-5


@pytest.mark.needs_torch
@pytest.mark.parametrize(("opset", "open_size", "folded"), [(11, False, True), (17, True, False)])
def test_what_pytorch_exports_is_recognised(opset: int, open_size: bool, folded: bool) -> None:
    torch = pytest.importorskip("torch")
    from torch_u2net import U2NET

    arrays = random_arrays(TINY, batch_norm=True)
    net = U2NET(tuple(s.mid_channels for s in TINY.stages), tuple(s.out_channels for s in TINY.stages)).eval()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # This is the exporter that the official files and all older ones came from.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, 64, 96),),
            stream,
            dynamo=False,
            opset_version=opset,
            input_names=["input"],
            dynamic_axes={"input": {0: "n", 2: "h", 3: "w"}} if open_size else None,
            do_constant_folding=folded,
            training=mode,
        )
    model = ir.from_proto(onnx.load_model_from_string(stream.getvalue()))
    architecture, found = arrays_from_graph(model)
    assert architecture == TINY
    assert len(found) == (238 if folded else 686)
    batch = random_batch(1, 3, 64, 96)
    ours = run_onnxruntime(graph_from_arrays(architecture, found), {"image": batch})
    assert worst_difference(ours, run_onnxruntime(model, {"input": batch})) < 1e-5


def refusal(model: ir.Model) -> str:
    with pytest.raises(ModelError) as caught:
        arrays_from_graph(model, where="graph x.onnx")
    return str(caught.value)


def test_another_dilation_is_named() -> None:
    model = random_graph()
    conv = next(node for node in model.graph if node.name == "stage5.rebnconv3.conv_s1")
    conv.attributes["dilations"] = ir.AttrInt64s("dilations", [2, 2])
    conv.attributes["pads"] = ir.AttrInt64s("pads", [2, 2, 2, 2])
    message = refusal(model)
    assert message.startswith("graph x.onnx, node 'stage5.rebnconv3.conv_s1': expected U²-Net: Conv")
    assert "dilation (4, 4)" in message.split("found")[0]
    assert "found Conv kernel (3, 3) dilation (2, 2)" in message
    assert "the operator counts agree" in message


def test_another_activation_is_counted() -> None:
    model = random_graph()
    relu = next(node for node in model.graph if node.name == "stage2.rebnconv1.relu_s1")
    relu.op_type = "LeakyRelu"
    message = refusal(model)
    assert "node 'stage2.rebnconv1.relu_s1': expected U²-Net: Relu" in message
    assert "found LeakyRelu" in message
    assert "1 LeakyRelu in place of 0, 111 Relu in place of 112" in message


def test_aligned_corners_are_refused() -> None:
    model = random_graph()
    resize = next(node for node in model.graph if node.name == "side4.upsample")
    mode = "coordinate_transformation_mode"
    resize.attributes[mode] = ir.AttrString(mode, "align_corners")
    assert "found Resize linear align_corners" in refusal(model)


def test_logits_without_the_sigmoid_are_refused() -> None:
    model = random_graph()
    model.graph.outputs[0] = model.graph.outputs[0].producer().inputs[0]  # type: ignore[union-attr,assignment]
    assert "expected U²-Net: Sigmoid (d0.sigmoid)" in refusal(model)


def test_skips_in_the_wrong_order_are_refused() -> None:
    model = random_graph()
    concat = next(node for node in model.graph if node.name == "stage1.rebnconv1d.concat")
    first, second = concat.inputs
    concat.replace_input_with(0, second)
    concat.replace_input_with(1, first)
    assert "U²-Net" in refusal(model)


def test_without_d0_there_is_no_proof() -> None:
    model = random_graph()
    KeepOutputs(["d3"])(model)
    assert "119 Conv" not in refusal(model)


def test_weights_stored_as_float16_are_refused() -> None:
    model = offline_graph(
        random_graph(),
        outputs="d0",
        batch_size=1,
        height=64,
        width=64,
        precision="force_float16",
        embed_preprocessing=False,
    )
    message = refusal(model)
    assert "expected float32 weights; found weights stored as FLOAT16" in message
    assert "build from the original checkpoint" in message


def test_preprocessing_in_the_graph_is_refused() -> None:
    model = offline_graph(
        random_graph(),
        outputs="d0",
        batch_size=1,
        height=64,
        width=64,
        precision="force_float32",
        embed_preprocessing=True,
    )
    assert "expected one input (N, 3, H, W), and an output; found image UINT8[1,64,64,3]" in refusal(model)


def test_not_finite_weights_are_refused() -> None:
    arrays = random_arrays(TINY, batch_norm=False)
    arrays["side2.weight"][0, 0, 0, 0] = np.nan
    assert "weights 'side2.weight': expected finite weights" in refusal(graph_from_arrays(TINY, arrays))


def test_an_older_operator_set_is_refused() -> None:
    model = random_graph()
    model.graph.opset_imports[""] = 10
    assert "expected ONNX operator set 11 or later; found operator set 10" in refusal(model)


def test_several_output_channels_are_another_head() -> None:
    arrays = random_arrays(TINY, batch_norm=False)
    arrays["outconv.weight"] = np.zeros((4, 6, 1, 1), np.float32)
    arrays["outconv.bias"] = np.zeros(4, np.float32)
    message = refusal(graph_from_arrays(TINY, arrays))
    assert "2 misshapen: outconv.weight [4, 6, 1, 1] in place of [1, 6, 1, 1]" in message
    assert "one output channel" in message


def test_passes_keep_a_graph_recognisable() -> None:
    one = architecture_of("one", mids=(1,) * 11, outs=(1,) * 11)
    shapes = expected_parameters(one, batch_norm=True)
    model = graph_from_arrays(one, {name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    for step in (FreezeShapes(None, 45, 77), FoldBatchNorm()):
        step(model)
        assert arrays_from_graph(model)[0].stages == one.stages
