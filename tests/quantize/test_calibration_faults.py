"""Each hint comes of data made for it, and of ordinary data none does."""

from __future__ import annotations

import numpy as np
import pytest
from calibrated_networks import calibrated, statistics_from_values

from u2forge.quantize.affine import Affine, activation_affine
from u2forge.quantize.calibration_faults import (
    channel_order_fault,
    option_faults,
    plain_picture_fault,
    range_faults,
)
from u2forge.quantize.options import RANGE_ALGORITHMS, QuantizeOptions


def covering(high: float, low: float = 0.0) -> Affine:
    return activation_affine(low, high, bits=8, scheme="asymmetric")


SEEN = {"a": statistics_from_values([0.0, 4.0]), "b": statistics_from_values([-2.0, 1.0])}


def test_ranges_that_fit_are_no_fault() -> None:
    assert range_faults({"a": covering(4), "b": covering(1, -2)}, SEEN) == []
    # What one picture reaches and another does not.
    assert range_faults({"a": covering(4 * 7), "b": covering(1, -2 * 7)}, SEEN) == []
    assert range_faults({"a": covering(4 * 0.3), "b": covering(0.1, -2 * 0.3)}, SEEN) == []


def test_a_networks_own_ranges_are_no_fault() -> None:
    seen = calibrated().activations
    affines = {
        name: covering(float(found.high.max()), float(found.low.min())) for name, found in seen.items()
    }
    assert range_faults(affines, seen) == []


def test_the_range_that_is_most_too_wide_is_named_with_its_factor() -> None:
    (fault,) = range_faults({"a": covering(400), "b": covering(0, -20)}, SEEN)
    assert fault == (
        "2 of 2 ranges are too wide: 'a' is given ±400 where the check pictures reach 4, 100 times less"
    )


def test_the_range_that_is_most_too_narrow_is_named() -> None:
    (fault,) = range_faults({"a": covering(0.9), "b": covering(0.01, -0.02)}, SEEN)
    assert fault.startswith(
        "2 of 2 ranges are too narrow: 'b' is given 0.02 where the check pictures reach 2;"
    )


def test_a_negative_end_counts_like_a_positive_one() -> None:
    assert range_faults({"b": covering(0.1, -2)}, SEEN) == []
    assert len(range_faults({"b": covering(0, -200)}, SEEN)) == 1


def test_wide_and_narrow_ranges_are_both_told() -> None:
    wide, narrow = range_faults({"a": covering(400), "b": covering(0.01, -0.02)}, SEEN)
    assert wide.startswith("1 of 2 ranges are too wide")
    assert narrow.startswith("1 of 2 ranges are too narrow")


def test_what_was_not_seen_or_is_always_zero_is_passed_over() -> None:
    silent = {"c": statistics_from_values([0.0, 0.0])}
    assert range_faults({"a": covering(400), "c": covering(400)}, silent) == []
    assert range_faults({}, SEEN) == []


def test_pictures_of_one_colour_are_told_where_they_are_the_most() -> None:
    assert plain_picture_fault([0, 0, 200]) == (
        "2 of 3 calibration pictures are of one colour (black, say): they exercise nothing"
    )
    assert plain_picture_fault([0]) is not None


@pytest.mark.parametrize("spreads", [[], [200], [0, 200], [0, 1, 255], [3] * 10])
def test_ordinary_pictures_are_not(spreads: list[int]) -> None:
    assert plain_picture_fault(spreads) is None


COUNT = 16
BLUE = np.linspace(-60, 10, COUNT)
CERTAIN, UNCERTAIN = np.full(COUNT, 0.1), np.full(COUNT, 0.2)


def test_blue_pictures_that_the_network_prefers_exchanged_are_swapped() -> None:
    fault = channel_order_fault(BLUE, UNCERTAIN, CERTAIN)
    assert fault is not None
    assert fault.startswith(
        "red and blue look swapped (BGR instead of RGB): over 16 pictures blue is 25 grey levels above red"
    )


def test_both_must_speak_against_the_order() -> None:
    assert channel_order_fault(BLUE, CERTAIN, UNCERTAIN) is None
    assert channel_order_fault(BLUE, CERTAIN, CERTAIN) is None
    assert channel_order_fault(-BLUE, UNCERTAIN, CERTAIN) is None


def test_a_slight_preference_for_blue_is_chance() -> None:
    slight = np.tile([-30.0, 28.0], COUNT // 2)
    assert channel_order_fault(slight, UNCERTAIN, CERTAIN) is None


def test_of_few_pictures_the_colours_say_nothing() -> None:
    assert channel_order_fault(BLUE[:7] - 100, UNCERTAIN[:7], CERTAIN[:7]) is None
    assert channel_order_fault(BLUE[:8] - 100, UNCERTAIN[:8], CERTAIN[:8]) is not None


def test_pictures_of_one_grey_are_not_swapped() -> None:
    assert channel_order_fault(np.zeros(COUNT), UNCERTAIN, CERTAIN) is None


def test_the_default_options_are_no_fault() -> None:
    assert option_faults(QuantizeOptions()) == []
    assert option_faults(QuantizeOptions(algorithm="eqnm", activations="symmetric", equalize=0)) == []


def test_options_known_to_cost_accuracy_are_told() -> None:
    worst = QuantizeOptions(algorithm="entropy", weight_granularity="per_tensor", bias_correction=False)
    clipping, coarse, off = option_faults(worst)
    assert clipping == "algorithm entropy clips what this network needs; linear or eqnm keep it"
    assert "per_channel" in coarse
    assert off == "bias correction is off"


def test_with_16_bits_no_algorithm_clips() -> None:
    for algorithm in RANGE_ALGORITHMS:
        assert option_faults(QuantizeOptions(bits=16, algorithm=algorithm)) == []
