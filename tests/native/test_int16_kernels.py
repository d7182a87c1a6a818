"""The 16-bit convolutions, at each instruction set, against their description in numpy: level by level."""

from __future__ import annotations

import int16_reference
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_programs import LEVELS, Floats, Program, groups, random_levels, random_weights, results
from onnx_layers import convolved

from u2forge.native.plan import GROUP, Algorithm

pytest.importorskip("u2forge.native._kernels", reason="the native kernels are not built")

sizes = st.tuples(st.integers(1, 21), st.integers(1, 21)) | st.tuples(st.just(1), st.integers(1, 70))
channels = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)


def padded(levels: Floats) -> int16_reference.Levels:
    """(channels, height, width) with zeros up to whole groups."""
    missing = groups(len(levels)) * GROUP - len(levels)
    return np.pad(levels, ((0, missing), (0, 0), (0, 0))).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(
    size=sizes, inputs=channels, outputs=channels, dilation=st.integers(0, 8), added=st.booleans(), seed=seeds
)
def test_convolution(
    size: tuple[int, int], inputs: int, outputs: int, dilation: int, added: bool, seed: int
) -> None:
    """dilation 0: Winograd. Levels of all patterns, also such as saturate the transform."""
    generator = np.random.default_rng(seed)
    weight, bias = random_weights(generator, outputs, inputs)
    x, more = (random_levels(generator, (1, count, *size)) for count in (inputs, outputs))
    program = Program("int16")
    source, residual = program.blocked_input(inputs, size), program.blocked_input(outputs, size)
    target = program.place(outputs, size, before=1)
    arrays = program.convolution(
        source,
        target,
        weight,
        bias * np.float32(LEVELS),
        dilation=max(1, dilation),
        algorithm=Algorithm.WINOGRAD if dilation == 0 else Algorithm.DIRECT,
        residual=residual if added else None,
    )
    program.show(target)
    expected = int16_reference.convolution(
        padded(x[0]),
        arrays,
        Algorithm.DIRECT if dilation else Algorithm.WINOGRAD,
        dilation=max(1, dilation),
        residual=padded(more[0]) if added else None,
    )[:outputs]
    for level, (found,) in results(program, x, more).items():
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1, err_msg=level)
        # And one off only where the last bit of a float decides.
        assert np.mean(found[0] != expected) < 0.02, level


@pytest.mark.needs_onnxruntime
@settings(max_examples=20, deadline=None)
@given(size=sizes, inputs=channels, dilation=st.integers(1, 8), seed=seeds)
def test_int16_sums_never_wrap(size: tuple[int, int], inputs: int, dilation: int, seed: int) -> None:
    """Weights of full range on the highest levels: sums leave 32 bits. Kernels that flush them are exact nevertheless,
    those that saturate stay where 32 bits end; none comes out small or negative."""
    generator = np.random.default_rng(seed)
    outputs = 20
    weight = generator.uniform(0.5, 1, (outputs, inputs, 3, 3)).astype(np.float32)
    weight[10:] *= -1
    x = random_levels(generator, (1, inputs, *size))
    program = Program("int16")
    source = program.blocked_input(inputs, size)
    target = program.place(outputs, size)
    # All taps of all channels at the highest level come to about 3900 levels.
    scale = 0.95 / (9 * inputs)
    program.convolution(
        source,
        target,
        weight,
        np.zeros(outputs, np.float32),
        dilation=dilation,
        algorithm=Algorithm.DIRECT,
        output_scale=scale,
        largest=True,
    )
    program.show(target)
    exact = convolved(x, weight * np.float32(scale), np.zeros(outputs, np.float32), dilation)
    largest = np.abs(weight).max((1, 2, 3))
    saturated = 2147483647 / 32767 * largest * scale
    for level, (found,) in results(program, x).items():
        expected = exact if level in ("avx2", "avx512") else np.minimum(exact, saturated[:, None, None])
        np.testing.assert_allclose(found, np.clip(expected, 0, LEVELS), rtol=0, atol=1.5, err_msg=level)


@example(size=(9, 6), inputs=1040, highest=60, seed=1)  # more pairs than a panel of weights has
@settings(max_examples=40, deadline=None)
@given(size=sizes, inputs=channels, highest=st.sampled_from([1, 7, 60, 500, LEVELS]), seed=seeds)
def test_int16_winograd_sums_are_exact_where_they_go_to_floats(
    size: tuple[int, int], inputs: int, highest: int, seed: int
) -> None:
    """Weights of full range. Such kernels sum the more products in 32 bits the smaller the transformed levels are."""
    generator = np.random.default_rng(seed)
    outputs = 20
    weight = generator.uniform(0.2, 1, (outputs, inputs, 3, 3)).astype(np.float32)
    weight[10:] *= generator.choice(np.array([-1, 1], np.float32), (10, inputs, 1, 1))
    x = np.minimum(random_levels(generator, (1, inputs, *size)), highest)
    program = Program("int16")
    source = program.blocked_input(inputs, size)
    target = program.place(outputs, size)
    arrays = program.convolution(
        source,
        target,
        weight,
        np.zeros(outputs, np.float32),
        algorithm=Algorithm.WINOGRAD,
        output_scale=0.9 * LEVELS / (9 * inputs * highest),
        largest=True,
    )
    program.show(target)
    sums = int16_reference.winograd_sums(padded(x[0]), arrays["weights"], exact=True)
    expected = int16_reference.finished(sums, arrays)[:outputs]
    for level, (found,) in results(program, x).items():
        if level in ("avx2", "avx512"):
            np.testing.assert_allclose(found[0], expected, rtol=0, atol=1, err_msg=level)
