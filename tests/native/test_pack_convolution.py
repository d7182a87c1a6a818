"""Packed weights compute what the convolution does, however many channels in however many parts."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from winograd_reference import (
    INVERSE,
    LARGE_INVERSE,
    direct_convolution,
    inverse_transformed,
    tiles_of,
    transformed,
    unpacked_weights,
)

from u2forge.native.pack_convolution import (
    output_blocks,
    pack_convolution,
    pack_first,
    pack_pointwise,
    pack_side,
    padded_channels,
    rounded_to_bfloat16,
)
from u2forge.native.plan import Algorithm
from u2forge.native.transform_weights import LARGE_TRANSFORM, TRANSFORM, transform_taps

SEGMENTS = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)
# Half a unit in the last place of 24 bits, or of 8: weights are rounded once, to float32 or bfloat16.
ROUNDING = {False: 2.0**-24, True: 2.0**-8}
# Of the root mean square: six and three times the most that 400 layers lost. Those of one or two channels lose most.
LOSS = {False: 1e-6, True: 0.05}
LARGE_LOSS = 4e-6


def layer(segments: tuple[int, ...], outputs: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weight, real inputs (C, 9, 11), the same with their padding)."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(0, 1, (outputs, sum(segments), 3, 3)).astype(np.float32)
    inputs = generator.uniform(0, 1, (sum(segments), 9, 11)).astype(np.float32)
    physical = np.moveaxis(padded_channels(np.moveaxis(inputs, 0, -1), segments), -1, 0)
    return weight, inputs, physical


@settings(deadline=None, max_examples=40)
@given(SEGMENTS, st.integers(1, 140), st.booleans())
def test_winograd_from_packed_weights_is_the_convolution(
    segments: tuple[int, ...], outputs: int, bfloat16: bool
) -> None:
    check_packed(
        segments, outputs, Algorithm.WINOGRAD, inverse=INVERSE, bfloat16=bfloat16, loss=LOSS[bfloat16]
    )


@settings(deadline=None, max_examples=40)
@given(SEGMENTS, st.integers(1, 140))
def test_so_it_is_from_weights_of_the_larger_transform(segments: tuple[int, ...], outputs: int) -> None:
    check_packed(
        segments, outputs, Algorithm.WINOGRAD_6X6, inverse=LARGE_INVERSE, bfloat16=False, loss=LARGE_LOSS
    )


def check_packed(
    segments: tuple[int, ...],
    outputs: int,
    algorithm: Algorithm,
    *,
    inverse: np.ndarray,
    bfloat16: bool,
    loss: float,
) -> None:
    weight, inputs, physical = layer(segments, outputs, outputs)
    packed = pack_convolution(weight, segments, algorithm, bfloat16=bfloat16)
    u = unpacked_weights(packed, algorithm, inputs=len(physical), pair=2 if bfloat16 else 1)
    tiles = transformed(tiles_of(physical, step=len(inverse)))
    found = inverse_transformed(np.einsum("pct,pco->pot", tiles, u, optimize=True), 9, 11, inverse=inverse)
    assert not found[outputs:].any()
    expected = direct_convolution(inputs, weight)
    assert rms(found[:outputs] - expected) < loss * rms(expected)
    products = np.einsum("pct,pco->pot", np.abs(tiles), np.abs(u), optimize=True)
    most = inverse_transformed(products, 9, 11, inverse=np.abs(inverse))[:outputs]
    assert (np.abs(found[:outputs] - expected) <= ROUNDING[bfloat16] * 1.01 * most).all()


def rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


@settings(deadline=None, max_examples=40)
@given(SEGMENTS, st.integers(1, 140), st.booleans(), st.sampled_from([1, 2, 8]))
def test_direct_weights_are_packed_as_they_are(
    segments: tuple[int, ...], outputs: int, bfloat16: bool, dilation: int
) -> None:
    weight, inputs, physical = layer(segments, outputs, outputs)
    packed = pack_convolution(weight, segments, Algorithm.DIRECT, bfloat16=bfloat16)
    taps = unpacked_weights(packed, Algorithm.DIRECT, inputs=len(physical), pair=2 if bfloat16 else 1)
    kernels = taps.transpose(2, 1, 0).reshape(-1, len(physical), 3, 3)
    rounded = weight.astype(ml_dtypes.bfloat16).astype(np.float32) if bfloat16 else weight
    found = direct_convolution(physical, kernels, dilation=dilation)
    np.testing.assert_allclose(
        found[:outputs], direct_convolution(inputs, rounded, dilation=dilation), rtol=1e-12, atol=1e-12
    )
    assert not found[outputs:].any()


@pytest.mark.parametrize("transform", [TRANSFORM, LARGE_TRANSFORM])
def test_transformed_weights_are_rounded_once(transform: np.ndarray) -> None:
    taps = np.random.default_rng(1).normal(0, 1, (9, 5000)).astype(np.float32)
    out = np.empty((len(transform) ** 2, 5000), np.float32)
    transform_taps(taps, out, transform=transform)
    exact = np.einsum("iy,jx,yxn->ijn", transform, transform, taps.astype(np.float64).reshape(3, 3, -1))
    # Half a unit of float32, and what order sums of 64 bits were taken in.
    np.testing.assert_allclose(out, exact.reshape(out.shape), rtol=6e-8, atol=1e-15)


def test_row_factors_multiply_rows() -> None:
    taps = np.eye(9, dtype=np.float32)
    plain, scaled = np.empty((36, 9), np.float32), np.empty((36, 9), np.float32)
    transform_taps(taps, plain)
    transform_taps(taps, scaled, row_factors=(1, 2, 4, 8, 16, 32))
    np.testing.assert_array_equal(
        scaled, plain * np.repeat(2.0 ** np.arange(6), 6)[:, None].astype(np.float32)
    )


@pytest.mark.parametrize(
    ("channels", "sizes"),
    [
        (1, [16]),
        (16, [16]),
        (17, [32]),
        (48, [32, 16]),
        (64, [64]),
        (65, [64, 16]),
        (240, [64] * 3 + [32, 16]),
    ],
)
def test_blocks_are_of_four_vectors_then_two_then_one(channels: int, sizes: list[int]) -> None:
    assert [block.stop - block.start for block in output_blocks(channels)] == sizes


@given(hypothesis_numpy.arrays(np.uint32, st.integers(1, 50)))
def test_bfloat16_is_rounded_to_nearest_even(bits: np.ndarray) -> None:
    values = bits.view(np.float32)
    found = rounded_to_bfloat16(values)
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16)
    broken = np.isnan(values)
    np.testing.assert_array_equal(found[~broken], expected.view(np.uint16)[~broken])
    assert np.isnan(found.view(ml_dtypes.bfloat16)[broken].astype(np.float32)).all()


def test_padding_is_zero_between_the_parts() -> None:
    spread = padded_channels(np.arange(1, 21), (3, 17))
    assert spread.tolist() == [1, 2, 3, *[0] * 13, *range(4, 21), *[0] * 15]


def test_the_other_convolutions() -> None:
    generator = np.random.default_rng(4)
    weight = generator.normal(0, 1, (5, 20, 3, 3)).astype(np.float32)
    first = pack_first(weight)
    assert first.shape == (9, 20, 16)
    assert first[5, 7, 3] == weight[3, 7, 1, 2]
    assert not first[..., 5:].any()
    side = pack_side(weight, (3, 17))
    assert side.shape == (5, 9, 48)
    assert side[3, 5, 16] == weight[3, 3, 1, 2]
    assert side[4, 0, 2] == weight[4, 2, 0, 0]
    assert not side[:, :, 3:16].any()
    assert pack_pointwise(weight[:, :, :1, :1]).tolist() == weight[:, :, 0, 0].tolist()
