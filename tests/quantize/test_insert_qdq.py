"""The quantized graph: valid ONNX, rounded where it should be and nowhere else, and close to the float graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from calibrated_networks import (
    HEIGHT,
    WIDTH,
    by_name,
    calibrated,
    float_graph,
    node,
    onnxruntime_session,
    pictures,
    small_calibrated,
    small_graph,
    weights_of,
)
from numpy.typing import NDArray
from pass_checks import content

from small_model_files import manifest_of
from small_networks import random_batch, run_onnxruntime, run_reference, worst_difference
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import open_engine
from u2forge.evaluate.accuracy_gate import DEFAULT_MAX_LOSS
from u2forge.graph.build import OUTPUT_NAMES
from u2forge.model_file.write import write_model
from u2forge.passes.recipes import finished
from u2forge.precision import PrecisionMode
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import QuantizedLayers, quantized_layers
from u2forge.tensor_spec import TensorSpec

# Probabilities of a network of random weights, on the pictures that it was calibrated with. 118 layers of 8-bit
# steps; measured up to 0.004, one wrong zero point moves the map by ten times that.
CLOSE_8 = 0.01
# 65535 levels; measured 1.2e-5, of which float32 itself is 2e-6.
CLOSE_16 = 1e-4
# The small graph's layers amplify, so that its map goes from 0.1 to 0.9; measured 0.021.
CLOSE_8_SMALL = 0.03
# 16 bits for twice the range (see ranges.py): a 128th of that, at most.
CLOSE_16_SMALL = 2.5e-4


FLOAT_LAYERS = ("stage1.rebnconv1.conv_s1", "stage3d.rebnconv2.conv_s1", "side1")
# All that is cached is shared: tests must leave it as it is.
# No clipping: then the pictures of the calibration are rounded only.
EIGHT = QuantizeOptions(algorithm="linear", equalize=0.25)
SIXTEEN = replace(EIGHT, bits=16)


@cache
def layers_of(
    *,
    outputs: str = "d0",
    batch_size: int | None = 1,
    embedded: bool = False,
    options: QuantizeOptions = EIGHT,
) -> QuantizedLayers:
    """Of the tiny network."""
    model = float_graph(outputs=outputs, batch_size=batch_size, embedded=embedded)
    return quantized_layers(model, calibrated(embedded=embedded).activations, options)


@cache
def tiny(float_layers: tuple[str, ...] = (), **options_and_shape: Any) -> ir.Model:
    return quantized_graph(layers_of(**options_and_shape), float_layers=float_layers)


@cache
def small_layers(options: QuantizeOptions = EIGHT) -> QuantizedLayers:
    return quantized_layers(small_graph(), small_calibrated().activations, options)


@cache
def float_session(**shape: Any) -> Any:
    return onnxruntime_session(float_graph(**shape))


def exact_outputs(batch: NDArray[Any], **shape: Any) -> list[NDArray[np.float32]]:
    """The float graph's."""
    found: list[NDArray[np.float32]] = float_session(**shape).run(None, {"image": batch})
    return found


def check(model: ir.Model) -> None:
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    names = [str(found.name) for found in model.graph]
    assert len(names) == len(set(names))


def run(model: ir.Model, feeds: Mapping[str, Any], *, integers: bool = True) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = onnxruntime_session(model, integers=integers).run(None, dict(feeds))
    return found


def run_openvino(model: ir.Model, feeds: Mapping[str, Any]) -> list[NDArray[np.float32]]:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    loaded = core.read_model(ir.to_proto(model).SerializeToString())
    compiled = core.compile_model(loaded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(dict(feeds)).values())


def quantizers(model: ir.Model) -> Counter[str]:
    kinds = Counter(found.op_type for found in model.graph)
    return Counter({kind: kinds[kind] for kind in ("QuantizeLinear", "DequantizeLinear")})


def leaves(value: ir.Value) -> Iterator[ir.Value]:
    """What a value's elements come from, through pooling and concatenation, up to the next rounding or layer."""
    found = value.producer()
    if found is not None and found.op_type in ("Concat", "MaxPool"):
        for part in found.inputs:
            yield from leaves(part)
    else:
        yield value


def producer_kind(value: ir.Value | None) -> str:
    assert value is not None
    found = value.producer()
    return "none" if found is None else found.op_type


@pytest.mark.parametrize(
    ("bits", "shape"),
    [
        (8, {}),
        (8, {"outputs": "all"}),
        (8, {"embedded": True, "batch_size": None}),
        (16, {"embedded": True, "batch_size": None}),
    ],
    ids=str,
)
def test_every_variant_is_valid_onnx_with_the_inputs_and_outputs_of_the_float_graph(
    bits: int, shape: dict[str, Any]
) -> None:
    model = tiny(options=EIGHT if bits == 8 else SIXTEEN, **shape)
    check(model)
    assert (model.opset_imports[""], model.ir_version) == ((18, 8) if bits == 8 else (21, 10))
    before = float_graph(**shape).graph
    for kind in ("inputs", "outputs"):
        old, new = getattr(before, kind), getattr(model.graph, kind)
        assert [(v.name, v.dtype, v.shape) for v in old] == [(v.name, v.dtype, v.shape) for v in new]
    # 107 activations, and 38 upsampled tensors of which the six of the side outputs are no activations, and a picture.
    assert quantizers(model) == {"QuantizeLinear": 146, "DequantizeLinear": 146 + 118}


def test_a_float_graph_is_not_touched() -> None:
    layers = small_layers()
    before = content(layers.model)
    quantized_graph(layers)
    assert content(layers.model) == before


def test_the_same_graph_each_time() -> None:
    again = quantized_layers(float_graph(), calibrated().activations, SIXTEEN)
    found = quantized_graph(again, float_layers=FLOAT_LAYERS)
    assert content(found) == content(tiny(FLOAT_LAYERS, options=SIXTEEN))


def test_float_layers_are_the_same_in_any_order_or_kind_of_collection() -> None:
    assert content(quantized_graph(small_layers(), float_layers=["a", "d"])) == content(
        quantized_graph(small_layers(), float_layers={"d", "a"})
    )


def test_every_layer_reads_integers_and_weights_of_integers() -> None:
    model = tiny()
    for name in layers_of().layers:
        layer = node(model, name)
        assert {producer_kind(leaf) for leaf in leaves(layer.inputs[0])} == {"DequantizeLinear"}, name
        assert producer_kind(layer.inputs[1]) == "DequantizeLinear"
        assert producer_kind(layer.inputs[2]) == "none"
    assert producer_kind(node(model, "outconv").inputs[1]) == "none"


def test_concatenation_joins_tensors_of_one_scale() -> None:
    """So that engines can join the integers themselves."""
    for found in (one for one in tiny().graph if one.op_type == "Concat" and one.outputs[0].name != "d0"):
        parts = [part.producer() for part in found.inputs]
        if any(part.op_type != "DequantizeLinear" for part in parts):
            # Logits, all of them.
            assert all(part.op_type in ("Conv", "Resize") for part in parts)
            continue
        for place in (1, 2):
            constants = {part.inputs[place].const_value.numpy().item() for part in parts}
            assert len(constants) == 1, found.name


def test_a_rounding_takes_the_scale_and_zero_point_of_its_tensor() -> None:
    layers, model = small_layers(), quantized_graph(small_layers())
    for value, source in (("image", "image"), ("ra", "ra"), ("up", "rb"), ("sum", "sum"), ("rd", "rd")):
        affine = layers.activations[source]
        for step in ("quantize", "dequantize"):
            found = node(model, f"{value}.{step}")
            scale, zero = (found.inputs[place].const_value.numpy() for place in (1, 2))
            assert (scale.dtype, zero.dtype.name) == (np.float32, affine.dtype)
            assert (scale.item(), zero.item()) == (affine.scale, affine.zero_point)


def test_weights_are_the_levels_with_their_scale_by_output_channel() -> None:
    for granularity, axis in (("per_channel", 0), ("per_tensor", None)):
        layers = small_layers(replace(EIGHT, weight_granularity=granularity))  # type: ignore[arg-type]
        model = quantized_graph(layers)
        check(model)
        for name, layer in layers.layers.items():
            found = node(model, f"{name}_w.dequantize")
            levels, scale, zero = (value.const_value.numpy() for value in found.inputs)
            np.testing.assert_array_equal(levels, layer.weights.levels)
            np.testing.assert_array_equal(scale, layer.weights.scale)
            assert not zero.any()
            assert (zero.shape, zero.dtype) == (scale.shape, levels.dtype)
            if axis is not None:
                assert found.attributes["axis"].as_int() == axis
            np.testing.assert_array_equal(weights_of(model)[f"{name}_b"], layer.bias)
        assert weights_of(model)["fuse_w"].dtype == np.float32


@pytest.mark.parametrize(
    "options",
    [
        EIGHT,
        replace(EIGHT, activations="symmetric"),
        replace(EIGHT, weight_granularity="per_tensor"),
        replace(EIGHT, weight_bits=8, bias_correction=False, equalize=1.0),
        SIXTEEN,
        replace(SIXTEEN, activations="symmetric", weight_granularity="per_tensor"),
    ],
    ids=["8", "symmetric", "per_tensor", "8-bit weights", "16", "16 symmetric per_tensor"],
)
def test_the_reference_evaluator_finds_a_small_graph_close_to_its_float_graph(
    options: QuantizeOptions,
) -> None:
    feeds = {"image": random_batch(1, 3, 9, 11, seed=0)}
    model = quantized_graph(small_layers(options))
    exact = run_reference(small_graph(), feeds)
    engine = run(model, feeds, integers=options.bits == 8)
    # The evaluator has no DequantizeLinear of operator set 18, which is as that of 21.
    model.opset_imports[""], model.ir_version = 21, 10
    found = run_reference(model, feeds)
    assert worst_difference(found, exact) < (CLOSE_8_SMALL if options.bits == 8 else CLOSE_16_SMALL)
    if options.weight_bits == 8:
        return  # Products of 8-bit weights saturate in engines on some processors: see DEFAULT_WEIGHT_BITS.
    # Some pixels round to the next level, as the engine adds in another order; measured 0.001.
    assert np.abs(found[0] - engine[0]).mean() < (2e-3 if options.bits == 8 else 1e-5)


@pytest.mark.parametrize("runner", [run, run_openvino], ids=["onnxruntime", "openvino"])
def test_8_bits_are_close_in_all_outputs(runner: Any) -> None:
    feeds = {"image": pictures()[0]}
    exact = exact_outputs(feeds["image"], outputs="all")
    found = runner(tiny(outputs="all"), feeds)
    assert len(found) == len(OUTPUT_NAMES)
    assert worst_difference(found, exact) < CLOSE_8
    # And no bystander: the integers must show.
    assert worst_difference(found, exact) > 1e-4


def test_8_bits_are_close_with_the_coarsest_options() -> None:
    feeds = {"image": pictures()[1]}
    coarse = replace(EIGHT, activations="symmetric", weight_granularity="per_tensor")
    assert worst_difference(run(tiny(options=coarse), feeds), exact_outputs(feeds["image"])) < CLOSE_8


def test_the_default_options_are_within_the_gate_on_average() -> None:
    feeds = {"image": pictures()[1]}
    (found,) = run(tiny(options=QuantizeOptions()), feeds)
    # They clip a few pixels of what was seen; measured 0.0006.
    assert np.abs(found - exact_outputs(feeds["image"])[0]).mean() < DEFAULT_MAX_LOSS


def test_16_bits_are_very_close_in_all_outputs() -> None:
    feeds = {"image": pictures()[2]}
    exact = exact_outputs(feeds["image"], outputs="all")
    model = tiny(outputs="all", options=SIXTEEN)
    assert worst_difference(run(model, feeds, integers=False), exact) < CLOSE_16
    # OpenVINO leaves the rounding out, so this says only that it computes the same network.
    assert worst_difference(run_openvino(model, feeds), exact) < CLOSE_16


@pytest.mark.parametrize("runner", [run, run_openvino], ids=["onnxruntime", "openvino"])
def test_pictures_of_8_bits_in_a_batch_of_any_size(runner: Any) -> None:
    batch = np.concatenate(pictures(embedded=True))
    model = tiny(embedded=True, batch_size=None)
    (found,) = runner(model, {"image": batch})
    (exact,) = exact_outputs(batch, embedded=True, batch_size=None)
    assert found.shape == (3, 1, HEIGHT, WIDTH)
    assert np.abs(found - exact).max() < CLOSE_8


def test_a_picture_in_a_batch_is_what_it_is_alone() -> None:
    batch = np.concatenate(pictures(embedded=True))
    session = onnxruntime_session(tiny(embedded=True, batch_size=None))
    (together,) = session.run(None, {"image": batch})
    for place in range(3):
        (alone,) = session.run(None, {"image": batch[place : place + 1]})
        # Integers; what is added in float32 between them may round to the next level.
        np.testing.assert_allclose(together[place], alone[0], atol=2e-3)


def saved(model: ir.Model, precision: PrecisionMode, path: Path) -> Path:
    image = TensorSpec("image", (1, 3, HEIGHT, WIDTH), "float32", "NCHW")
    d0 = TensorSpec("d0", (1, 1, HEIGHT, WIDTH), "float32", "NCHW")
    write_model(model, manifest_of([image], [d0], precision), path)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("bits", "tolerance"), [(8, CLOSE_8), (16, CLOSE_16)])
def test_our_engines_give_the_right_answer(engine: str, bits: int, tolerance: float, tmp_path: Path) -> None:
    """16 bits most of all: ONNX Runtime's own rewriting gets them wrong, see below."""
    pytest.importorskip(engine)
    precision: PrecisionMode = "qint8_mixed_float32" if bits == 8 else "qint16_mixed_float32"
    path = saved(tiny(options=EIGHT if bits == 8 else SIXTEEN), precision, tmp_path / "model.onnx")
    feeds = {"image": pictures()[0]}
    opened = open_engine(path, engine=engine, options=EngineOptions(threads=1))
    found = opened.run(feeds)["d0"]
    opened.close()
    assert worst_difference([found], exact_outputs(feeds["image"])) < tolerance


def test_onnxruntimes_own_rewriting_is_why_16_bits_need_a_setting() -> None:
    """Where this skips, the setting in engine/onnxruntime_engine.py may go."""
    feeds = {"image": pictures()[0]}
    model = tiny(options=SIXTEEN)
    exact = exact_outputs(feeds["image"])
    if worst_difference(run(model, feeds, integers=True), exact) < CLOSE_16:
        pytest.skip("this ONNX Runtime is right at 16 bits without the setting")
    assert worst_difference(run(model, feeds, integers=False), exact) < CLOSE_16


@pytest.mark.parametrize("bits", [8, 16])
def test_float_layers_keep_their_weights_and_biases(bits: int) -> None:
    layers = layers_of(options=EIGHT if bits == 8 else SIXTEEN)
    model = tiny(FLOAT_LAYERS, options=EIGHT if bits == 8 else SIXTEEN)
    check(model)
    for name in FLOAT_LAYERS:
        for place in (1, 2):
            found, before = (node(graph, name).inputs[place] for graph in (model, layers.model))
            assert producer_kind(found) == "none"
            np.testing.assert_array_equal(found.const_value.numpy(), before.const_value.numpy())
    assert quantizers(model)["DequantizeLinear"] - quantizers(model)["QuantizeLinear"] == 118 - 3


def test_a_float_layer_reads_its_input_as_it_was_and_others_read_it_rounded() -> None:
    model = quantized_graph(small_layers(), float_layers=["d"])
    assert node(model, "d").inputs[0].name == "sum"
    assert node(model, "f").inputs[0].name == "sum.dequantized"


def test_a_float_layer_behind_pooling_reads_what_the_others_read() -> None:
    model = quantized_graph(small_layers(), float_layers=["b"])
    assert node(model, "b").inputs[0].name == "pooled"
    assert node(model, "pool").inputs[0].name == "ra.dequantized"


def test_what_only_float_layers_read_is_not_rounded() -> None:
    model = quantized_graph(small_layers(), float_layers=["d", "f"])
    assert "sum.quantize" not in by_name(model.graph)
    assert {"image.quantize", "ra.quantize", "up.quantize", "rd.quantize"} <= set(by_name(model.graph))
    model = quantized_graph(small_layers(), float_layers=["a"])
    assert "image.quantize" not in by_name(model.graph)


def test_the_picture_inside_a_graph_is_rounded_once() -> None:
    model = tiny(embedded=True)
    (rounding,) = [
        use.node
        for use in node(model, "preprocess.add").outputs[0].uses()
        if use.node.op_type == "QuantizeLinear"
    ]
    assert rounding.name == "image.normalized.quantize"


@pytest.mark.parametrize(("bits", "embedded"), [(8, False), (8, True), (16, True)])
def test_with_all_layers_in_float_it_is_the_float_graph(bits: int, embedded: bool) -> None:
    options = EIGHT if bits == 8 else SIXTEEN
    layers = layers_of(embedded=embedded, options=options)
    model = tiny(tuple(layers.layers), embedded=embedded, options=options)
    check(model)
    assert not quantizers(model).total()
    assert Counter(found.op_type for found in model.graph) == Counter(
        found.op_type for found in float_graph(embedded=embedded).graph
    )
    feeds = {"image": pictures(embedded=embedded)[0]}
    # Equalized channels: float32 in other units.
    exact = exact_outputs(feeds["image"], embedded=embedded)
    assert worst_difference(run_onnxruntime(model, feeds), exact) < 1e-5


def test_with_half_of_the_layers_in_float_it_is_closer_to_the_float_graph() -> None:
    feeds = {"image": pictures()[0]}
    (exact,) = exact_outputs(feeds["image"])
    half = tuple(layers_of().layers)[::2]
    (none, some) = (np.abs(run(tiny(kept), feeds)[0] - exact).mean() for kept in ((), half))
    assert some < none


def test_finished_in_float16_halves_the_float_layers_only() -> None:
    """Integers stay integers, and scales float32: in float16 they would lose bits that the integers need."""
    layers = small_layers()
    model = finished(quantized_graph(layers, float_layers=["d"]), "qint8_mixed_float16")
    check(model)
    kinds = {name: array.dtype.name for name, array in weights_of(model).items()}
    assert {kinds[f"{name}_w"] for name in ("d", "fuse")} == {"float16"}
    assert {kinds[f"{name}_w"] for name in "abcef"} == {"int8"}
    assert {kind for name, kind in kinds.items() if name.endswith((".scale", "_b"))} == {"float32"}
    feeds = {"image": random_batch(1, 3, 9, 11)}
    assert worst_difference(run(model, feeds), run_reference(small_graph(), feeds)) < CLOSE_8_SMALL
