"""What is fused into convolutions, and where concatenations, outputs and what is read twice lie."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import graph
from reference_executor import executed

from small_networks import random_batch, run_onnxruntime, worst_difference
from u2forge.graph.architecture import U2NET, expected_parameters
from u2forge.graph.build import graph_from_arrays
from u2forge.native.lower import Lowered, lower
from u2forge.native.plan import Algorithm, Kind, Layout, View
from u2forge.passes.recipes import offline_graph

needs_onnxruntime = pytest.mark.needs_onnxruntime
# Logits of a few layers, computed in float32 in different orders.
CLOSE = 2e-5


@pytest.fixture(scope="module")
def whole() -> Lowered:
    """The full network on 320 × 320 pictures; its weights, which do not matter here, take no memory."""
    arrays = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in expected_parameters(U2NET, batch_norm=False).items()
    }
    model = offline_graph(
        graph_from_arrays(U2NET, arrays),
        outputs="d0",
        batch_size=1,
        height=320,
        width=320,
        precision="force_float32",
        embed_preprocessing=False,
    )
    return lower(model, sums_in_place=True)


def test_the_full_network_is_fused_and_placed(whole: Lowered) -> None:
    assert Counter(step.kind for step in whole.steps) == {
        Kind.FIRST_CONVOLUTION: 1,
        Kind.CONVOLUTION: 111,
        Kind.SIDE_CONVOLUTION: 6,
        Kind.POINTWISE_CONVOLUTION: 1,
        Kind.RESIZE: 33,
        Kind.RESIZE_PLANAR: 5,
        Kind.SIGMOID: 1,
    }
    assert sum(step.algorithm is Algorithm.WINOGRAD for step in whole.steps) == 88
    # 1 input, 51 joined, and what lies in no joined one: see the next test.
    assert len(whole.buffers) == 126
    assert Counter(buffer.layout for buffer in whole.buffers) == {Layout.PLANAR: 9, Layout.BLOCKED: 117}


def test_the_full_network_s_sums_and_maxima_are_the_convolutions_that_wrote_them(whole: Lowered) -> None:
    sums = [step.name for step in whole.steps if step.residual is not None]
    stages = [f"stage{i}" for i in range(1, 7)] + [f"stage{i}d" for i in range(5, 0, -1)]
    assert sums == [f"{stage}.rebnconv1d.conv_s1" for stage in stages]
    # Each is written over what it adds, which nothing reads again.
    assert all(step.target == step.residual for step in whole.steps if step.residual is not None)
    pooling = [step.name for step in whole.steps if step.pooled is not None]
    inner = {1: 5, 2: 4, 3: 3, 4: 2}
    expected = [f"stage{i}.rebnconv{j}.conv_s1" for i in inner for j in range(1, inner[i] + 1)]
    expected += [f"stage{i}d.rebnconv{j}.conv_s1" for i in inner for j in range(1, inner[i] + 1)]
    expected += [f"stage{i}.rebnconv1d.conv_s1" for i in range(1, 6)]
    assert sorted(pooling) == sorted(expected)


def test_the_full_network_s_joined_buffers_are_written_in_place(whole: Lowered) -> None:
    by_name = {step.name: step for step in whole.steps}
    up, skip, read = (
        by_name[f"stage1.{name}"]
        for name in ("rebnconv5d.upsample", "rebnconv5.conv_s1", "rebnconv5d.conv_s1")
    )
    buffer = read.source.buffer
    assert read.source == View(buffer, 0, 4)
    assert (up.target, skip.target) == (View(buffer, 0, 2), View(buffer, 2, 2))
    # Each part is read where it lies, even by the step that writes the other part.
    deepest = by_name["stage1.rebnconv7.conv_s1"]
    assert deepest.source.buffer == deepest.target.buffer


def convolutions(text: str, outputs: str = "d0", **more: Any) -> ir.Model:
    """A graph on 3 × 12 × 10 pictures. Weights: `w3` and `w16`, 16 of 3 and of 16 channels, and `one` of 16."""
    random = np.random.default_rng(0)
    shapes = {"w3": (16, 3, 3, 3), "w16": (16, 16, 3, 3), "one": (1, 16, 3, 3)}
    weights = {
        name: (random.normal(size=shape) / np.sqrt(4.5 * shape[1])).astype(np.float32)
        for name, shape in shapes.items()
    }
    declared = ", ".join(f"float[N,1,12,10] {name}" for name in outputs.split())
    return graph(f"(float[N,3,12,10] image) => ({declared}) {{ {text} }}", **weights, **more)


SAME = "kernel_shape=[3,3], pads=[1,1,1,1]"
WIDE = "kernel_shape=[3,3], pads=[2,2,2,2], dilations=[2,2]"
POOL = "MaxPool<kernel_shape=[2,2], strides=[2,2]>"
START = f"c1 = Conv<{SAME}>(image, w3) r1 = Relu(c1)"


def steps_of(text: str, **options: Any) -> list[str]:
    """The steps of a graph, as kind and what is fused into them, once its numbers were found to be right."""
    model, feed = convolutions(text, **options), random_batch(2, 3, 12, 10)
    lowered = lower(model, sums_in_place=True)
    assert worst_difference(executed(lowered, feed), run_onnxruntime(model, {"image": feed})) < CLOSE
    return [
        step.kind.name.lower()
        + (" + residual" if step.residual is not None and step.kind is not Kind.ADD else "")
        + (" + pooled" if step.pooled is not None else "")
        for step in lowered.steps
    ]


@needs_onnxruntime
def test_the_later_convolution_takes_the_sum_whichever_term_it_is() -> None:
    for terms in ("r2, r3", "r3, r2"):
        text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) c3 = Conv<{WIDE}>(r1, w16) r3 = Relu(c3)
            s = Add({terms}) d0 = Conv<{SAME}>(s, one)"""
        expected = "first_convolution, convolution, convolution + residual, side_convolution"
        assert ", ".join(steps_of(text)) == expected


@needs_onnxruntime
def test_a_convolution_that_something_else_reads_keeps_its_own_output() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) s = Add(r2, r1)
        t = Add(s, r2) d0 = Conv<{SAME}>(t, one)"""
    assert steps_of(text) == ["first_convolution", "convolution", "add", "add", "side_convolution"]


def in_place_sums(text: str, **options: Any) -> list[bool]:
    """Of each sum in a convolution, whether it is written over what it adds, once the numbers were found right."""
    steps_of(text, **options)
    steps = lower(convolutions(text, **options), sums_in_place=True).steps
    return [
        step.target == step.residual
        for step in steps
        if step.residual is not None and step.kind is Kind.CONVOLUTION
    ]


@needs_onnxruntime
def test_a_residual_that_is_read_again_is_not_written_over() -> None:
    between = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) c3 = Conv<{SAME}>(r2, w16) r3 = Relu(c3)
        s = Add(r3, r1)"""
    assert in_place_sums(f"{between} d0 = Conv<{SAME}>(s, one)") == [True]
    again = f"{between} c4 = Conv<{SAME}>(r1, w16) r4 = Relu(c4) t = Add(r4, s) d0 = Conv<{SAME}>(t, one)"
    assert in_place_sums(again) == [False, True]


@needs_onnxruntime
def test_what_a_convolution_reads_is_not_written_over_by_its_sum() -> None:
    text = f"{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) s = Add(r2, r1) d0 = Conv<{SAME}>(s, one)"
    assert in_place_sums(text) == [False]


@needs_onnxruntime
def test_a_joined_residual_is_not_written_over() -> None:
    """Its first part is read once more behind the sum."""
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) j = Concat<axis=1>(r1, r2)
        c3 = Conv<{SAME}>(j, w32) r3 = Relu(c3) c4 = Conv<{SAME}>(r3, w32) r4 = Relu(c4) s = Add(r4, j)
        k = Concat<axis=1>(s, r1) d0 = Conv<{SAME}>(k, three)"""
    weights = {
        "w32": np.ones((32, 32, 3, 3), "f4") / 300,
        "three": np.ones((1, 48, 3, 3), "f4") / 99,
    }
    assert in_place_sums(text, **weights) == [False]


@needs_onnxruntime
def test_sums_of_sums_are_written_over_one_another() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) c3 = Conv<{WIDE}>(r2, w16) r3 = Relu(c3)
        s = Add(r3, r1) c4 = Conv<{SAME}>(s, w16) r4 = Relu(c4) c5 = Conv<{SAME}>(r4, w16) r5 = Relu(c5)
        t = Add(r5, s) d0 = Conv<{SAME}>(t, one)"""
    assert in_place_sums(text) == [True, True]


@needs_onnxruntime
def test_only_one_sum_goes_into_a_convolution() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) s = Add(r2, r1)
        t = Add(s, r1) d0 = Conv<{SAME}>(t, one)"""
    assert steps_of(text) == ["first_convolution", "convolution + residual", "add", "side_convolution"]


@needs_onnxruntime
def test_the_maximum_is_of_the_sum_where_it_reads_the_sum() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) s = Add(r2, r1) p = {POOL}(s)
        u = Resize<axes=[2,3], mode="linear">(p, , , size) j = Add(u, s) d0 = Conv<{SAME}>(j, one)"""
    steps = steps_of(text, size=np.array([12, 10]))
    assert steps[1:] == ["convolution + residual + pooled", "resize", "add", "side_convolution"]


@needs_onnxruntime
def test_a_direct_convolution_does_not_pool() -> None:
    text = f"""{START} c2 = Conv<{WIDE}>(r1, w16) r2 = Relu(c2) p = {POOL}(r2) q = {POOL}(r1) s = Add(p, q)
        u = Resize<axes=[2,3], mode="linear">(s, , , size) d0 = Conv<{SAME}>(u, one)"""
    steps = steps_of(text, size=np.array([12, 10]))
    assert steps[1:] == ["convolution", "pool", "pool", "add", "resize", "side_convolution"]


@needs_onnxruntime
def test_a_part_of_two_concatenations_is_copied_into_the_second() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2)
        j = Concat<axis=1>(r1, r2) k = Concat<axis=1>(r2, r1)
        e = Conv<{SAME}>(j, two) f = Conv<{SAME}>(k, two) l = Concat<axis=1>(e, f) d0 = Conv(l, point2)"""
    steps = steps_of(text, two=np.ones((1, 32, 3, 3), "f4") / 99, point2=np.ones((1, 2, 1, 1), "f4"))
    assert [step for step in steps if step == "copy"] == ["copy", "copy"]
    assert "copy_planar" not in steps


@needs_onnxruntime
def test_twice_the_same_part_is_copied_once() -> None:
    text = f"""{START} j = Concat<axis=1>(r1, r1) d0 = Conv<{SAME}>(j, two)"""
    steps = steps_of(text, two=np.ones((1, 32, 3, 3), "f4") / 99)
    assert steps == ["first_convolution", "copy", "side_convolution"]


@needs_onnxruntime
def test_concatenations_nest_without_copies() -> None:
    text = f"""{START} c2 = Conv<{SAME}>(r1, w16) r2 = Relu(c2) c3 = Conv<{SAME}>(r2, w16) r3 = Relu(c3)
        i = Concat<axis=1>(r2, r3) j = Concat<axis=1>(r1, i) d0 = Conv<{SAME}>(j, three)"""
    steps = steps_of(text, three=np.ones((1, 48, 3, 3), "f4") / 99)
    assert steps == ["first_convolution", "convolution", "convolution", "side_convolution"]


@needs_onnxruntime
def test_an_output_that_is_read_on_is_read_from_there() -> None:
    text = f"""{START} d0 = Conv<{SAME}>(r1, one) d1 = Sigmoid(d0)"""
    assert steps_of(text, outputs="d0 d1") == ["first_convolution", "side_convolution", "sigmoid"]


@needs_onnxruntime
def test_an_output_that_is_a_part_too_is_copied() -> None:
    text = f"""{START} d0 = Conv<{SAME}>(r1, one) d1 = Sigmoid(d0) j = Concat<axis=1>(d0, d1)
        d2 = Conv(j, point2)"""
    steps = steps_of(text, outputs="d0 d1 d2", point2=np.ones((1, 2, 1, 1), "f4"))
    assert steps.count("copy_planar") == 2


@needs_onnxruntime
def test_the_same_value_twice_as_output_is_copied() -> None:
    text = f"""{START} d0 = Conv<{SAME}>(r1, one) d1 = Identity(d0)"""
    assert steps_of(text, outputs="d0 d1")[-1] == "copy_planar"


@needs_onnxruntime
def test_identities_are_looked_through() -> None:
    text = f"""{START} i = Identity(r1) j = Concat<axis=1>(i)
        k = Resize<axes=[2,3], mode="linear">(j, , , size) c2 = Conv<{SAME}>(k, w16) m = Identity(c2) r2 = Relu(m)
        s = Add(r2, j) e = Conv<{SAME}>(s, one) d0 = Identity(e)"""
    steps = steps_of(text, size=np.array([12, 10]))
    assert steps == ["first_convolution", "convolution + residual", "side_convolution"]


@needs_onnxruntime
def test_resizing_by_exact_scales_and_by_auto_pad() -> None:
    text = f"""c1 = Conv<auto_pad="SAME_UPPER">(image, w3) r1 = Relu(c1) p = {POOL}(r1)
        u = Resize<mode="linear">(p, , scales) d0 = Conv<{SAME}>(u, one)"""
    steps = steps_of(text, scales=np.array([1, 1, 2, 2], np.float32))
    assert steps == ["first_convolution", "pool", "resize", "side_convolution"]
