"""Lowered graphs compute what the graphs compute, and packing finds the ranges that calibration noted."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import HEIGHT, WIDTH, calibrated, float_graph, small_calibrated, small_graph
from pass_checks import graph
from random_graphs import random_operators
from reference_executor import executed

from small_networks import TINY, random_arrays, random_batch, run_onnxruntime, worst_difference
from u2forge.graph.architecture import U2NETP, Architecture, architecture_of
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import Lowered, lower
from u2forge.native.plan import Algorithm, Kind, Layout
from u2forge.passes.recipes import finished, offline_graph
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.native_ranges import native_ranges
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import QuantizedLayers, quantized_layers

SAME = "kernel_shape=[3,3], pads=[1,1,1,1]"

# Widths on both sides of whole groups of 16 channels.
UNEVEN = architecture_of(
    "u2net_custom",
    mids=(5, 16, 24, 40, 5, 16, 24, 40, 5, 16, 24),
    outs=(24, 40, 5, 16, 24, 17, 16, 24, 40, 5, 16),
)
# Both compute in float32, in different orders, through some sixty layers; measured up to 2e-6 on probabilities.
CLOSE = 2e-5

needs_onnxruntime = pytest.mark.needs_onnxruntime


def offline(architecture: Architecture = TINY, **options: Any) -> ir.Model:
    """The offline graph of a network of random weights."""
    chosen: dict[str, Any] = {
        "outputs": "d0",
        "batch_size": None,
        "height": HEIGHT,
        "width": WIDTH,
        "precision": "force_float32",
        "embed_preprocessing": False,
    } | options
    model = graph_from_arrays(architecture, random_arrays(architecture, batch_norm=True))
    return offline_graph(model, **chosen)


def check_same_numbers(model: ir.Model, feed: Any, *, expected: ir.Model | None = None) -> Lowered:
    """Runs the lowered model in numpy, the model (or the one expected to be equal) in ONNX Runtime."""
    lowered = lower(model)
    found = executed(lowered, feed)
    wanted = run_onnxruntime(expected or model, {str(model.graph.inputs[0].name): feed})
    assert worst_difference(found, wanted) < CLOSE
    return lowered


def kinds(lowered: Lowered) -> Counter[Kind]:
    return Counter(step.kind for step in lowered.steps)


@needs_onnxruntime
@pytest.mark.parametrize("architecture", [TINY, UNEVEN, U2NETP], ids=["tiny", "uneven", "u2netp"])
@pytest.mark.parametrize(("height", "width"), [(33, 47), (32, 64)])
def test_networks_compute_the_same(architecture: Architecture, height: int, width: int) -> None:
    model = offline(architecture, height=height, width=width)
    check_same_numbers(model, random_batch(1, 3, height, width))


@needs_onnxruntime
def test_all_seven_outputs_of_a_batch_of_two() -> None:
    lowered = check_same_numbers(offline(UNEVEN, outputs="all"), random_batch(2, 3, HEIGHT, WIDTH))
    assert kinds(lowered)[Kind.SIGMOID] == 7
    assert {buffer.output_index for buffer in lowered.buffers} == {None, *range(7)}


@needs_onnxruntime
def test_preprocessing_inside_the_graph_is_one_step() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 200, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[1] = 0  # black: divided by 1
    lowered = check_same_numbers(offline(embed_preprocessing=True), pixels)
    assert lowered.steps[0].kind is Kind.NORMALIZE
    assert lowered.buffers[0].layout is Layout.PIXELS
    assert lowered.ingredients[1].sources == ("image.normalized",)
    assert kinds(lowered).total() == kinds(lower(offline())).total() + 1


@needs_onnxruntime
def test_weights_stored_as_float16_are_read_as_they_were_rounded() -> None:
    check_same_numbers(offline(precision="force_float16"), random_batch(1, 3, HEIGHT, WIDTH))


@cache
def quantized(bits: int, *, embedded: bool = False) -> QuantizedLayers:
    return quantized_layers(
        float_graph(embedded=embedded),
        calibrated(embedded=embedded).activations,
        QuantizeOptions(bits=bits),  # type: ignore[arg-type]
    )


@needs_onnxruntime
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("float16", [False, True])
def test_quantized_graphs_compute_in_float_with_their_rounded_weights(
    bits: int, embedded: bool, float16: bool
) -> None:
    model = quantized_graph(quantized(bits, embedded=embedded), float_layers=["stage2.rebnconv1.conv_s1"])
    if float16:
        finished(model, "qint8_mixed_float16")
    feed = random_batch(1, 3, HEIGHT, WIDTH)
    if embedded:
        feed = np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)  # type: ignore[assignment]
    lowered = check_same_numbers(model, feed, expected=without_activation_rounding(model))
    assert kinds(lowered) == kinds(lower(float_graph(embedded=embedded)))


def without_activation_rounding(model: ir.Model) -> ir.Model:
    """The graph without its pairs of QuantizeLinear and DequantizeLinear."""
    copy = model.clone()
    for node in list(copy.graph):
        below = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type == "DequantizeLinear" and below is not None:
            assert below.inputs[0] is not None
            ir.convenience.replace_all_uses_with(node.outputs[0], below.inputs[0])
            copy.graph.remove([node, below], safe=True)
    return copy


def test_weights_are_scaled_per_tensor_too() -> None:
    size = 2 * 3 * 9
    model = graph(
        f"""(float[1,3,8,8] image) => (float[1,1,8,8] d0) {{
        wf = DequantizeLinear(w, s, z)
        a = Conv<{SAME}>(image, wf)
        r = Relu(a)
        d0 = Conv<{SAME}>(r, v, b)
        }}""",
        w=np.arange(size, dtype=np.uint8).reshape(2, 3, 3, 3),
        s=np.float32(0.5),
        z=np.uint8(7),
        v=np.ones((1, 2, 3, 3), np.float32),
        b=np.array([3], np.float32),
    )
    first, second = (made_of.weights for made_of in lower(model).ingredients)
    assert first is not None
    assert second is not None
    expected = (np.arange(size).reshape(2, 3, 3, 3) - 7) / 2
    np.testing.assert_array_equal(first.read_weight(), expected.astype(np.float32))
    assert first.read_weight().dtype == np.float32
    np.testing.assert_array_equal(first.read_bias(), np.zeros(2, np.float32))
    np.testing.assert_array_equal(second.read_bias(), [3])


@pytest.mark.parametrize("embedded", [False, True])
def test_every_step_of_a_16_bit_network_finds_its_ranges(embedded: bool) -> None:
    layers = quantized(16, embedded=embedded)
    ranges = native_ranges(layers, calibrated(embedded=embedded))
    lowered = lower(quantized_graph(layers))
    for step, made_of in zip(lowered.steps, lowered.ingredients, strict=True):
        if step.kind in (Kind.NORMALIZE, Kind.SIGMOID, Kind.RESIZE_PLANAR, Kind.POINTWISE_CONVOLUTION):
            continue
        parts = [
            (made_of.input_segments, made_of.sources),
            (made_of.residual_segments, made_of.residual_sources),
        ]
        if step.kind is not Kind.SIDE_CONVOLUTION:
            parts.append((made_of.target_segments, made_of.targets))
        for segments, sources in parts:
            assert [len(ranges.channel_high[source]) for source in sources] == list(segments)
        if made_of.weights is not None:
            assert made_of.conv_name == step.name
            assert len(ranges.pre_activation[step.name][0]) == made_of.weights.shape[0]
        if step.algorithm is Algorithm.WINOGRAD:
            assert step.name in ranges.tile_maximum


def test_sources_are_those_that_calibration_observed() -> None:
    lowered = lower(small_graph())
    by_name = dict(zip((step.name for step in lowered.steps), lowered.ingredients, strict=True))
    assert (by_name["a"].sources, by_name["a"].targets) == (("image",), ("ra",))
    assert by_name["b"].sources == ("ra",)
    assert (by_name["c"].input_segments, by_name["c"].sources) == ((3, 2), ("rb", "ra"))
    assert (by_name["c"].targets, by_name["c"].residual_sources) == (("sum",), ("ra",))
    assert by_name["up"].targets == by_name["up"].sources == ("rb",)
    assert by_name["fuse"].input_segments == (2,)
    assert {"image", "ra", "rb", "sum", "rd"} == set(small_calibrated().activations)


@needs_onnxruntime
def test_one_layer_of_each_kind_computes_the_same() -> None:
    lowered = check_same_numbers(small_graph(), random_batch(1, 3, 9, 11))
    # The first convolution cannot pool, its sum is taken by the later one; logits come as early as they can.
    assert [step.name for step in lowered.steps] == "a pool b up c f d e fuse d0".split()


@needs_onnxruntime
@pytest.mark.parametrize("seed", range(60))
def test_operators_wired_at_random_compute_the_same(seed: int) -> None:
    check_same_numbers_closely(random_operators(seed), random_batch(2, 3, 9, 13, seed=seed))


def check_same_numbers_closely(model: ir.Model, feed: Any) -> None:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # it warns of each node that nobody reads
    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    wanted = session.run(None, {"image": feed})
    # Values grow by sums and unscaled logits, so that the error is relative.
    for in_place in (False, True):
        answers = executed(lower(model, sums_in_place=in_place), feed)
        for found, expected in zip(answers, wanted, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_lowering_leaves_the_model_as_it_is() -> None:
    model = offline()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    lower(model)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
