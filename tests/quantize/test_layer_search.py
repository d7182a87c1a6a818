"""Which layers stay in float: on made-up losses, against trying everything."""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from u2forge.quantize.layer_search import LayerCost, fewest_float_layers, rank_layers


class AdditiveLosses:
    """A loss of which each layer in float takes off its own gain; whole numbers, so that sums are exact."""

    def __init__(self, gains: dict[str, int], limit: int) -> None:
        self.gains, self.limit = gains, limit
        self.trials: list[tuple[str, ...]] = []

    @property
    def ranked(self) -> list[str]:
        return sorted(self.gains, key=lambda name: -self.gains[name])

    def loss(self, float_layers: Collection[str]) -> float:
        self.trials.append(tuple(float_layers))
        assert len(set(float_layers)) == len(float_layers)
        return sum(gain for name, gain in self.gains.items() if name not in float_layers)

    def holds(self, float_layers: Collection[str]) -> bool:
        return self.loss(float_layers) <= self.limit

    def fewest(
        self, *, weight: dict[str, float] | None = None, most_weight: float = math.inf
    ) -> tuple[str, ...] | None:
        weight = weight or dict.fromkeys(self.gains, 1.0)
        return fewest_float_layers(self.holds, self.ranked, weight=weight, most_weight=most_weight)


def test_the_costliest_layer_comes_first() -> None:
    losses = AdditiveLosses({"a": 1, "b": 5, "c": 3}, limit=0)
    assert rank_layers(losses.loss, list("abc")) == [LayerCost("b", 5), LayerCost("c", 3), LayerCost("a", 1)]


def test_of_equals_the_earlier_comes_first() -> None:
    losses = AdditiveLosses({"a": 1, "b": 2, "c": 1, "d": 2}, limit=0)
    assert [cost.name for cost in rank_layers(losses.loss, list("abcd"))] == list("bdac")
    assert [cost.name for cost in rank_layers(losses.loss, list("dcba"))] == list("dbca")


def test_a_layer_whose_rounding_helps_comes_last_with_its_negative_gain() -> None:
    losses = AdditiveLosses({"a": -2, "b": 0, "c": 1}, limit=0)
    assert rank_layers(losses.loss, list("abc"))[-1] == LayerCost("a", -2)


def test_each_layer_is_measured_once_and_told() -> None:
    losses, told = AdditiveLosses(dict.fromkeys("abcd", 1), limit=0), []
    rank_layers(losses.loss, list("abcd"), on_layer=told.append)
    assert told == list("abcd")
    assert sorted(losses.trials) == [(), ("a",), ("b",), ("c",), ("d",)]


def test_the_shortest_beginning_that_holds_is_found() -> None:
    losses = AdditiveLosses({"a": 8, "b": 4, "c": 2, "d": 1}, limit=3)
    assert losses.fewest() == ("a", "b")


def test_a_layer_that_is_not_needed_goes_back_to_integers() -> None:
    """`b` costs most by itself, but what it costs is gone with `a` and `c`."""

    def holds(float_layers: Collection[str]) -> bool:
        return {"a", "c"} <= set(float_layers)

    kept = fewest_float_layers(holds, list("abcd"), weight=dict.fromkeys("abcd", 1.0), most_weight=4.0)
    assert kept == ("a", "c")


def test_a_layer_too_heavy_is_passed_over() -> None:
    losses = AdditiveLosses({"a": 8, "b": 4, "c": 4, "d": 1}, limit=9)
    assert losses.fewest(weight={"a": 0.5, "b": 0.1, "c": 0.1, "d": 0.1}, most_weight=0.25) == ("b", "c")


def test_none_where_the_limit_cannot_hold() -> None:
    losses = AdditiveLosses({"a": 8, "b": 4}, limit=-1)
    assert losses.fewest() is None
    assert AdditiveLosses({"a": 8}, limit=1).fewest(most_weight=0.5) is None
    assert AdditiveLosses({}, limit=-1).fewest() is None


gains = st.dictionaries(
    st.sampled_from([f"layer{number}" for number in range(9)]), st.integers(0, 20), min_size=1
)


@given(gains, st.data())
def test_the_answer_holds_within_the_weight_and_is_no_longer_than_the_shortest_beginning(
    layer_gains: dict[str, int], data: st.DataObject
) -> None:
    # The caller asks only where the limit does not hold with all layers quantized.
    limit = data.draw(st.integers(-1, max(-1, sum(layer_gains.values()) - 1)))
    losses = AdditiveLosses(layer_gains, limit)
    weight = {name: float(data.draw(st.integers(0, 6))) for name in layer_gains}
    most = float(data.draw(st.integers(0, 20)))
    found = losses.fewest(weight=weight, most_weight=most)
    assert len(set(losses.trials)) == len(losses.trials)

    allowed: list[str] = []
    for name in losses.ranked:
        if sum(weight[other] for other in allowed) + weight[name] <= most:
            allowed.append(name)
    lengths = [n for n in range(len(allowed) + 1) if losses.holds(allowed[:n])]
    if not lengths:
        assert found is None
        return
    assert found is not None
    assert losses.holds(found)
    assert sum(weight[name] for name in found) <= most
    assert set(found) <= set(allowed[: lengths[0]])
    # None of them could go back to integers.
    assert not any(losses.holds([other for other in found if other != name]) for name in found)


@given(gains, st.data())
def test_without_a_weight_limit_no_fewer_layers_would_do(
    layer_gains: dict[str, int], data: st.DataObject
) -> None:
    """Of additive losses the largest gains are the best choice of any number of layers."""
    losses = AdditiveLosses(layer_gains, data.draw(st.integers(0, max(0, sum(layer_gains.values()) - 1))))
    if losses.holds(()):
        return
    found = losses.fewest()
    assert found is not None
    fewer = [choice for count in range(len(found)) for choice in combinations(layer_gains, count)]
    assert not any(losses.holds(choice) for choice in fewer)


def test_a_hundred_layers_take_few_trials() -> None:
    """Each is a compilation and a run: doubling and halving, then one for each layer kept."""
    losses = AdditiveLosses({f"layer{number:03}": 200 - number for number in range(118)}, limit=0)
    losses.limit = sum(losses.gains.values()) - sum(sorted(losses.gains.values())[-5:])
    kept = losses.fewest()
    assert kept == tuple(losses.ranked[:5])
    assert len(losses.trials) <= 2 * math.log2(118) + 5
    assert len(set(losses.trials)) == len(losses.trials)
