"""Options that are none are refused, with what there is instead."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from u2forge.errors import InputError
from u2forge.quantize.options import (
    ACTIVATION_SCHEMES,
    RANGE_ALGORITHMS,
    WEIGHT_GRANULARITIES,
    QuantizeOptions,
)


@pytest.mark.parametrize(
    ("option", "value", "wording"),
    [
        ("bits", 7, "option 'bits': expected one of 8, 16; found 7"),
        ("bits", "8", "option 'bits': expected one of 8, 16; found '8'"),
        ("bits", True, "option 'bits': expected one of 8, 16; found True"),
        ("weight_bits", 16, "option 'weight_bits': expected one of 7, 8; found 16"),
        (
            "algorithm",
            "minmax",
            "option 'algorithm': expected one of linear, eqnm, percentile, entropy; found 'm",
        ),
        ("algorithm", ["linear"], "option 'algorithm': expected one of linear"),
        (
            "weight_granularity",
            "channel",
            "option 'weight_granularity': expected one of per_tensor, per_channel",
        ),
        (
            "activations",
            "unsigned",
            "option 'activations': expected one of asymmetric, symmetric; found 'unsigned'",
        ),
        ("equalize", 1.01, "option 'equalize': expected a number of 0 .* to 1 .*; found 1.01"),
        ("equalize", -0.1, "option 'equalize': .*found -0.1"),
        ("equalize", math.nan, "option 'equalize': .*found nan"),
        ("equalize", "0.5", "option 'equalize': .*found '0.5'"),
        ("equalize", None, "option 'equalize': .*found None"),
    ],
)
def test_a_choice_that_is_none_is_refused(option: str, value: Any, wording: str) -> None:
    with pytest.raises(InputError, match=f"quantization, {wording}"):
        QuantizeOptions(**{option: value})


def test_every_valid_choice_is_taken() -> None:
    for algorithm in RANGE_ALGORITHMS:
        for granularity in WEIGHT_GRANULARITIES:
            for scheme in ACTIVATION_SCHEMES:
                options = QuantizeOptions(
                    algorithm=algorithm, weight_granularity=granularity, activations=scheme
                )
                assert options.algorithm == algorithm
    for equalize in (0, 1, 0.0, 1.0, 0.3):
        assert QuantizeOptions(equalize=equalize).equalize == equalize


def test_options_stay_as_they_are() -> None:
    with pytest.raises(FrozenInstanceError):
        QuantizeOptions().bits = 16  # type: ignore[misc]
