"""Affine quantization: zero kept, half a step at most within the range, saturation beyond it, as ONNX defines it."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from u2forge.quantize.affine import Affine, activation_affine, dequantize, quantization_noise, quantize
from u2forge.quantize.options import ActivationScheme

SCHEMES = get_args(ActivationScheme)
ends = st.floats(-1e6, 1e6)
bit_widths = st.sampled_from([8, 16])
schemes = st.sampled_from(SCHEMES)
# The scale is rounded to float32, by 2^-24 of itself at most: over 65535 steps that is 2^-8 of one.
SCALE_ROUNDING = 2.0**-8


@given(ends, ends, bit_widths, schemes)
def test_zero_is_represented_exactly(
    first: float, second: float, bits: int, scheme: ActivationScheme
) -> None:
    affine = activation_affine(min(first, second), max(first, second), bits=bits, scheme=scheme)
    assert dequantize(quantize(np.zeros(1), affine), affine).item() == 0


@given(ends, ends, bit_widths, schemes, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_value_within_the_range_moves_by_half_a_step_at_most(
    first: float, second: float, bits: int, scheme: ActivationScheme, places: list[float]
) -> None:
    low, high = min(first, second, 0), max(first, second, 0)
    affine = activation_affine(low, high, bits=bits, scheme=scheme)
    values = np.array([low, high, *(low + place * (high - low) for place in places)])
    error = np.abs(dequantize(quantize(values, affine), affine) - values)
    assert error.max() <= affine.scale * (0.5 + SCALE_ROUNDING)


@given(ends, ends, bit_widths, schemes)
def test_a_value_beyond_the_range_becomes_its_end(
    first: float, second: float, bits: int, scheme: ActivationScheme
) -> None:
    affine = activation_affine(min(first, second), max(first, second), bits=bits, scheme=scheme)
    found = dequantize(quantize(np.array([-1e9, 1e9]), affine), affine)
    np.testing.assert_array_equal(found, [affine.low, affine.high])
    assert affine.low <= 0 <= affine.high


@pytest.mark.parametrize(
    ("low", "high", "bits", "scheme", "expected"),
    [
        (-1, 3, 8, "asymmetric", Affine(float(np.float32(4 / 255)), 64, "uint8")),
        (-1, 3, 16, "asymmetric", Affine(float(np.float32(4 / 65535)), 16384, "uint16")),
        (-1, 3, 8, "symmetric", Affine(float(np.float32(3 / 127)), 0, "int8")),
        (-6, 3, 16, "symmetric", Affine(float(np.float32(6 / 32767)), 0, "int16")),
        (0, 3, 8, "symmetric", Affine(float(np.float32(3 / 255)), 0, "uint8")),
        (0, 3, 16, "asymmetric", Affine(float(np.float32(3 / 65535)), 0, "uint16")),
        (-3, 0, 8, "asymmetric", Affine(float(np.float32(3 / 255)), 255, "uint8")),
    ],
)
def test_ranges_of_known_quantization(
    low: float, high: float, bits: int, scheme: ActivationScheme, expected: Affine
) -> None:
    assert activation_affine(low, high, bits=bits, scheme=scheme) == expected


def test_a_range_away_from_zero_is_widened_to_it() -> None:
    for scheme in SCHEMES:
        assert activation_affine(2, 5, bits=8, scheme=scheme) == activation_affine(
            0, 5, bits=8, scheme=scheme
        )
        assert activation_affine(-5, -2, bits=8, scheme=scheme) == activation_affine(
            -5, 0, bits=8, scheme=scheme
        )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tensor_of_zeros_has_a_scale_and_stays_zero(bits: int, scheme: ActivationScheme) -> None:
    affine = activation_affine(0, 0, bits=bits, scheme=scheme)
    assert np.float32(affine.scale) > 0
    assert affine.zero_point == 0
    assert not dequantize(quantize(np.zeros(3), affine), affine).any()


def test_halves_are_rounded_to_even() -> None:
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), Affine(1.0, 0, "int8")).tolist() == [
        0,
        2,
        2,
        0,
        -2,
    ]


def test_the_noise_of_a_uniform_tensor_is_a_twelfth_of_a_squared_step() -> None:
    affine = activation_affine(0, 1, bits=8, scheme="asymmetric")
    found = quantization_noise(np.linspace(0, 1, 100_001), affine)
    # The two end steps are half ones, of 256.
    assert found == pytest.approx(affine.scale**2 / 12, rel=0.01)


def test_an_empty_tensor_has_no_noise() -> None:
    assert quantization_noise(np.zeros((0, 3)), Affine(1.0, 0, "uint8")) == 0


@cache
def evaluator(operator: str, dtype: str) -> ReferenceEvaluator:
    integers = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    into = TensorProto.FLOAT if operator == "DequantizeLinear" else integers
    given_type = integers if operator == "DequantizeLinear" else TensorProto.FLOAT
    inputs = [("x", given_type, [None]), ("scale", TensorProto.FLOAT, []), ("zero", integers, [])]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "scale", "zero"], ["y"])],
        "one",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info("y", into, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return ReferenceEvaluator(model)


def evaluated(operator: str, array: Any, affine: Affine) -> Any:
    zero = np.array(affine.zero_point, affine.dtype)
    feeds = {"x": array, "scale": np.array(affine.scale, np.float32), "zero": zero}
    return evaluator(operator, affine.dtype).run(None, feeds)[0]


affines = st.builds(
    activation_affine,
    st.floats(-1000, 0),
    st.floats(0, 1000),
    bits=bit_widths,
    scheme=schemes,
)


@settings(deadline=None)
@given(affines, st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=30))
def test_quantize_agrees_with_onnx(affine: Affine, steps_from_zero: list[float]) -> None:
    array = (np.array(steps_from_zero) * affine.scale).astype(np.float32)
    found = quantize(array, affine)
    expected = evaluated("QuantizeLinear", array, affine)
    assert found.dtype == expected.dtype == affine.dtype
    differs = found != expected
    assert np.abs(found.astype(int) - expected).max() <= 1
    # ONNX divides in float32: of 65535 steps its quotient is off by 2^-8 at most, enough to cross a tie.
    steps = (array / affine.scale)[differs]
    assert (np.abs(np.abs(steps - np.floor(steps)) - 0.5) < 2.0**-7).all()


@settings(deadline=None)
@given(affines, st.data())
def test_dequantize_agrees_with_onnx(affine: Affine, data: st.DataObject) -> None:
    limits = np.iinfo(affine.dtype)
    levels = np.array(
        data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1)), affine.dtype
    )
    found = dequantize(levels, affine)
    # One rounding to float32.
    np.testing.assert_allclose(found, evaluated("DequantizeLinear", levels, affine), rtol=2.0**-23)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_level_comes_back_from_its_value(dtype: str) -> None:
    limits = np.iinfo(dtype)
    affine = Affine(0.037, 0 if dtype.startswith("i") else limits.max // 3, dtype)
    levels = np.arange(int(limits.min), int(limits.max) + 1).astype(dtype)
    np.testing.assert_array_equal(quantize(dequantize(levels, affine), affine), levels)
