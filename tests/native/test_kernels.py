"""Each kernel, at each instruction set that runs here, against ONNX Runtime: odd sizes, one pixel, channels that fill
no group, dilations 1 to 8, batches, some threads, and memory that a run before left full of not-a-numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_programs import LEVELS, Floats, Program, bfloat16_bits, random_levels, random_weights, results
from numpy.typing import NDArray
from onnx import helper
from onnx_layers import convolved, max_pooled, resized, runtime
from winograd_reference import bfloat16_bound

from u2forge.native.plan import GROUP, Algorithm, Kind, Layout, View

pytest.importorskip("u2forge.native._kernels", reason="the native kernels are not built")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.needs_onnxruntime

# Of one layer. float32, relative to its largest number: sums in another order. int16, of 4095:
# the last pixel of a tile is 15 off in the mean square of extreme inputs, so only gross faults are seen here;
# test_int16_kernels.py is exact. bfloat16 has a bound at each pixel.
CLOSE = {
    "float32": {Algorithm.DIRECT: 1e-5, Algorithm.WINOGRAD: 2e-5, Algorithm.WINOGRAD_6X6: 5e-5},
    "int16": {Algorithm.DIRECT: 3.0, Algorithm.WINOGRAD: 100.0},
}
# Checkers of more would saturate the 16 bits of the transform, by 13 % at 4095: int16_scales.INPUT_SHIFT.
HIGHEST = 3600
# The same examples each time: bounds of rounding hold for almost all draws, not for all.
FEW = settings(max_examples=30, deadline=None, derandomize=True)

sizes = st.tuples(st.integers(1, 21), st.integers(1, 21)) | st.tuples(st.just(1), st.integers(1, 70))
# From 300 tiles on, these are dealt to the threads.
many_tiles = st.tuples(st.integers(61, 90), st.integers(81, 90))
channels = st.integers(1, 70)
batches = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)


def check(program: Program, inputs: list[NDArray[Any]], expected: list[Floats], allowed: float) -> None:
    check_within(program, inputs, expected, [np.full(right.shape, allowed) for right in expected])


def check_within(
    program: Program, inputs: list[NDArray[Any]], expected: list[Floats], allowed: list[NDArray[np.float64]]
) -> None:
    for level, outputs in results(program, *inputs).items():
        for output, right, bound in zip(outputs, expected, allowed, strict=True):
            assert output.shape == right.shape
            excess = np.abs(output - right) - bound
            assert excess.max(initial=0) <= 0, f"{level}: {excess.max()} beyond its bound"
            assert np.isfinite(output).all(), level


def rounding_bound(precision: str, expected: Floats, algorithm: Algorithm) -> float:
    if precision == "int16":
        return CLOSE["int16"][algorithm]
    return CLOSE["float32"][algorithm] * (1 + float(np.abs(expected).max()))


# More steps than a panel of weights has.
MANY_CHANNELS: dict[str, Any] = {
    "size": (3, 5),
    "inputs": 528,
    "outputs": 20,
    "fused": (True, False),
    "in_place": True,
    "before": 1,
    "batch": 1,
    "seed": 1,
}
# Tiles of 6×6 enough to be dealt to the threads, the last ones partly in the picture.
MANY_LARGE_TILES: dict[str, Any] = {
    "size": (104, 107),
    "inputs": 20,
    "outputs": 20,
    "fused": (True, True),
    "in_place": False,
    "before": 1,
    "batch": 1,
    "seed": 2,
}


def half(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int16"])
@example(**MANY_CHANNELS, algorithm=Algorithm.WINOGRAD, dilation=1)
@example(**MANY_CHANNELS, algorithm=Algorithm.WINOGRAD_6X6, dilation=1)
@example(**MANY_CHANNELS, algorithm=Algorithm.DIRECT, dilation=2)
@example(**MANY_LARGE_TILES, algorithm=Algorithm.WINOGRAD_6X6, dilation=1)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=sizes | many_tiles,
    inputs=channels,
    outputs=channels,
    algorithm=st.sampled_from(Algorithm),
    dilation=st.integers(1, 8),
    fused=st.tuples(st.booleans(), st.booleans()),
    in_place=st.booleans(),
    before=st.integers(0, 3),
    batch=batches,
    seed=seeds,
)
def test_convolution(
    precision: str,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    algorithm: Algorithm,
    dilation: int,
    fused: tuple[bool, bool],
    in_place: bool,
    before: int,
    batch: int,
    seed: int,
) -> None:
    """in_place: where there is a residual, the sum is written over it. Dilated ones of Winograd add and pool nothing.
    Tiles of 6×6 are of float32 without dilation. Of the largest pictures few channels: portable ones are slow."""
    if algorithm is Algorithm.WINOGRAD_6X6 and (precision != "float32" or dilation > 1):
        algorithm = Algorithm.WINOGRAD
    winograd = algorithm is not Algorithm.DIRECT
    if size[0] * size[1] > 4000:
        inputs, outputs, batch = min(inputs, 20), min(outputs, 20), 1
    generator = np.random.default_rng(seed)
    weight, bias = random_weights(generator, outputs, inputs)
    int16 = precision == "int16"
    added, pools = (wanted and (dilation == 1 or not winograd) for wanted in fused)
    high = LEVELS if int16 else 1
    bias = bias * np.float32(high)
    shapes = (batch, inputs, *size), (batch, outputs, *size)
    x, more = (random_levels(generator, shape, HIGHEST) * np.float32(high / LEVELS) for shape in shapes)

    program = Program(precision)
    source = program.blocked_input(inputs, size, before=before, behind=1)
    residual = program.blocked_input(outputs, size, before=1 - before % 2)
    target = program.place(outputs, size, before=2 - before % 3, behind=before % 2)
    if added and in_place:
        target = residual
    pooled = program.place(outputs, half(size), before=before) if pools and winograd else None
    program.convolution(
        source,
        target,
        weight,
        bias,
        dilation=dilation,
        algorithm=algorithm,
        residual=residual if added else None,
        pooled=pooled,
    )
    program.show(target)
    if pooled:
        program.show(pooled)

    expected = np.maximum(convolved(x, weight, bias, dilation), 0) + (more if added else 0)
    if int16:
        expected = np.clip(expected, 0, LEVELS)
    bound = np.full(expected.shape, rounding_bound(precision, expected, algorithm))
    if precision == "bfloat16":
        bound += [bfloat16_bound(each, weight, winograd=winograd, dilation=dilation) for each in x]
    every = [expected, max_pooled(expected)] if pooled else [expected]
    # A maximum is no further off than the worst of what it is taken of.
    bounds = [bound, max_pooled(bound.astype(np.float32))] if pooled else [bound]
    check_within(program, [x, more], every, bounds)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int16"])
@FEW
@given(size=sizes, outputs=channels, count=st.integers(1, 4), batch=batches, seed=seeds)
def test_first_convolution(
    precision: str, size: tuple[int, int], outputs: int, count: int, batch: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weight, bias = (
        array * np.float32(400 if precision == "int16" else 1)
        for array in random_weights(generator, outputs, count)
    )
    x = generator.normal(0, 2, (batch, count, *size)).astype(np.float32)
    program = Program(precision)
    given_, target = program.input(count, size), program.place(outputs, size, before=1)
    width = target.view.count * GROUP
    packed, addend = np.zeros((9, count, width), np.float32), np.zeros(width, np.float32)
    packed[..., :outputs] = weight.reshape(outputs, count, 9).transpose(2, 1, 0)
    addend[:outputs] = bias
    program.add(Kind.FIRST_CONVOLUTION, given_.view, target.view, weights=packed, addend=addend)
    program.show(target)
    expected = np.maximum(convolved(x, weight, bias), 0)
    check(program, [x], [np.minimum(expected, LEVELS)], 0.51 if precision == "int16" else 1e-5)


@pytest.mark.parametrize("precision", ["float32", "int16"])
@FEW
@given(
    size=sizes,
    inputs=channels,
    outputs=st.integers(1, 3),
    before=st.integers(0, 3),
    batch=batches,
    seed=seeds,
)
def test_side_convolution(
    precision: str, size: tuple[int, int], inputs: int, outputs: int, before: int, batch: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weight, bias = random_weights(generator, outputs, inputs)
    if precision == "int16":
        weight /= LEVELS
    x = random_levels(generator, (batch, inputs, *size))
    if precision == "float32":
        x /= LEVELS
    program = Program(precision)
    source = program.blocked_input(inputs, size, before=before, behind=1)
    target = program.planar_place(outputs, size)
    packed = np.zeros((outputs, 9, source.view.count * GROUP), np.float32)
    packed[..., :inputs] = weight.reshape(outputs, inputs, 9).transpose(0, 2, 1)
    program.add(Kind.SIDE_CONVOLUTION, source.view, target.view, weights=packed, addend=bias)
    program.show(target)
    check(program, [x], [convolved(x, weight, bias)], 2e-5)


@FEW
@given(
    size=sizes | many_tiles, inputs=st.integers(1, 12), outputs=st.integers(1, 4), batch=batches, seed=seeds
)
def test_pointwise_convolution_and_sigmoid(
    size: tuple[int, int], inputs: int, outputs: int, batch: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.normal(0, 1, (outputs, inputs)).astype(np.float32)
    bias = generator.normal(0, 1, outputs).astype(np.float32)
    # Far beyond what a float's exponential function holds, too.
    x = generator.normal(0, 50, (batch, inputs, *size)).astype(np.float32)
    program = Program("float32")
    logits, probability = program.planar_place(outputs, size), program.planar_place(outputs, size)
    program.add(
        Kind.POINTWISE_CONVOLUTION, program.input(inputs, size).view, logits.view, weights=weight, addend=bias
    )
    program.add(Kind.SIGMOID, logits.view, probability.view)
    program.show(probability)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["l"]), helper.make_node("Sigmoid", ["l"], ["y"])]
    check(program, [x], runtime(nodes, {"x": x}, ["y"], w=weight[..., None, None], b=bias), 1e-4)


@pytest.mark.parametrize("precision", ["float32", "int16"])
@FEW
@given(
    size=sizes, count=channels, before=st.integers(0, 3), behind=st.integers(0, 1), batch=batches, seed=seeds
)
def test_pool_add_and_copy(
    precision: str, size: tuple[int, int], count: int, before: int, behind: int, batch: int, seed: int
) -> None:
    """Levels are exact; int16 adds half of one to half of the other."""
    generator = np.random.default_rng(seed)
    x, y = (random_levels(generator, (batch, count, *size)) for _ in range(2))
    program = Program(precision)
    one = program.blocked_input(count, size, before=before, behind=behind)
    two = program.blocked_input(count, size, before=behind)
    pooled = program.place(count, half(size), before=2 * behind)
    summed, copied = program.place(count, size, before=1), program.place(count, size, before=before + behind)
    program.add(Kind.POOL, one.view, pooled.view)
    halves = np.full(one.view.count * GROUP, 0.5, np.float32) if precision == "int16" else None
    program.add(
        Kind.ADD,
        one.view,
        summed.view,
        more={"residual": two.view},
        multiplier=halves,
        residual_multiplier=halves,
    )
    program.add(Kind.COPY, one.view, copied.view)
    for shown in (pooled, summed, copied):
        program.show(shown)
    total = np.rint((x + y) / 2) if precision == "int16" else x + y
    check(program, [x, y], [max_pooled(x), total, x], 0)


@pytest.mark.parametrize("precision", ["float32", "int16"])
@FEW
@given(size=sizes, to=sizes, count=channels, before=st.integers(0, 2), behind=st.integers(0, 2), seed=seeds)
def test_resize(
    precision: str,
    size: tuple[int, int],
    to: tuple[int, int],
    count: int,
    before: int,
    behind: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    x = random_levels(generator, (2, count, *size))
    program = Program(precision)
    source = program.blocked_input(count, size, before=before)
    target, planar = program.place(count, to, before=behind), program.planar_place(count, to)
    program.add(Kind.RESIZE, source.view, target.view)
    program.add(Kind.RESIZE_PLANAR, View(0, 0, count), planar.view)
    program.show(target)
    program.show(planar)
    expected = resized(x, to)
    # A place of up to 70 pixels, in 24 bits, wrong by some units of the last, on a slope of 4095 a pixel.
    rounding = 0.1
    for level, (blocked, logits) in results(program, x).items():
        # Shares of 15 bits, three roundings of an eighth of a level and the last of a half.
        allowed = 0.75 if precision == "int16" else rounding
        np.testing.assert_allclose(blocked, expected, rtol=0, atol=allowed, err_msg=level)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=rounding, err_msg=level)


@settings(max_examples=15, deadline=None)
@given(size=sizes, count=st.integers(1, 4), brightest=st.integers(0, 255), seed=seeds)
def test_normalize(size: tuple[int, int], count: int, brightest: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    pictures = generator.integers(0, brightest + 1, (3, *size, count)).astype(np.uint8)
    scale, offset = (generator.normal(0, 2, count).astype(np.float32) for _ in range(2))
    program = Program("float32")
    target = program.planar_place(count, size)
    program.add(
        Kind.NORMALIZE,
        program.input(count, size, Layout.PIXELS).view,
        target.view,
        multiplier=scale,
        addend=offset,
    )
    program.show(target)
    largest = np.maximum(pictures.max((1, 2, 3), keepdims=True), 1).astype(np.float32)
    expected = (pictures / largest * scale + offset).transpose(0, 3, 1, 2)
    check(program, [pictures], [expected], 1e-5)


def test_bfloat16_of_the_test_rounds_to_nearest_even() -> None:
    numbers = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, -2.5], np.float32)
    assert bfloat16_bits(numbers).tolist() == [0x3F80, 0x3F80, 0x3F82, 0xC020]
