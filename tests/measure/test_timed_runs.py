"""Turns: as long and as many as asked, the same number in each stream, nothing of one stream alone."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from u2forge.measure.timed_runs import TurnLimits, timed_turn


def test_both_limits_are_reached() -> None:
    numbers: list[int] = []

    def run(number: int) -> Mapping[str, float]:
        numbers.append(number)
        time.sleep(0.002)
        return {"compute": 1.5}

    many = timed_turn(run, TurnLimits(seconds=0, iterations=7))
    assert numbers == list(range(7))
    assert len(many.samples["latency"]) == 7
    assert many.samples["compute"] == [1.5] * 7
    assert many.wall_s >= sum(many.samples["latency"]) / 1000
    long = timed_turn(run, TurnLimits(seconds=0.05, iterations=1))
    assert long.wall_s >= 0.05
    assert len(long.samples["latency"]) > 1


def test_at_least_one() -> None:
    assert len(timed_turn(lambda number: {}, TurnLimits(seconds=0, iterations=0)).samples["latency"]) == 1


@pytest.mark.parametrize("streams", [2, 3])
def test_streams_run_side_by_side_and_equally_often(streams: int) -> None:
    by_thread: Counter[int] = Counter()
    numbers: list[int] = []
    at_once = threading.Barrier(streams)

    def run(number: int) -> Mapping[str, float]:
        at_once.wait(timeout=5)  # only passed where all streams are in an inference at once
        by_thread[threading.get_ident()] += 1
        numbers.append(number)
        return {}

    turn = timed_turn(run, TurnLimits(seconds=0.05, iterations=7), streams=streams)
    assert len(by_thread) == streams
    assert len(set(by_thread.values())) == 1
    assert len(turn.samples["latency"]) == sum(by_thread.values()) >= 7
    assert sorted(numbers) == list(range(len(numbers)))


def test_a_slow_stream_is_waited_for_by_all() -> None:
    slow = threading.local()
    first = threading.Lock()

    def run(number: int) -> Mapping[str, float]:
        if not hasattr(slow, "seconds"):
            slow.seconds = 0.03 if first.acquire(blocking=False) else 0.001
        time.sleep(slow.seconds)
        return {}

    turn = timed_turn(run, TurnLimits(seconds=0.05, iterations=2), streams=2)
    latencies = turn.samples["latency"]
    half = len(latencies) // 2
    assert len(latencies) == 2 * half
    assert sum(one > 25 for one in latencies) == half


def test_pythons_collector_waits_and_comes_back() -> None:
    seen = []
    timed_turn(lambda number: seen.append(gc.isenabled()) or {}, TurnLimits(seconds=0, iterations=2))
    assert seen == [False, False]
    assert gc.isenabled()


def test_an_error_of_an_inference_ends_the_turn() -> None:
    def run(number: int) -> Mapping[str, float]:
        raise ValueError("broken")

    for streams in (1, 2):
        with pytest.raises(ValueError, match="broken"):
            timed_turn(run, TurnLimits(seconds=0, iterations=5), streams=streams)
    assert gc.isenabled()


@pytest.mark.parametrize("streams", [1, 2])
def test_a_turn_ends_in_time_whatever_is_asked_for(streams: int) -> None:
    def run(number: int) -> Mapping[str, float]:
        time.sleep(0.01)
        return {}

    limits = TurnLimits(seconds=60, iterations=1_000_000, most_seconds=0.1)
    turn = timed_turn(run, limits, streams=streams)
    assert 0.1 <= turn.wall_s < 5
    assert len(turn.samples["latency"]) % streams == 0


@pytest.mark.parametrize("streams", [1, 2])
def test_what_leads_in_is_not_counted(streams: int) -> None:
    calls: list[float] = []

    def run(number: int) -> Mapping[str, float]:
        calls.append(0.5 if len(calls) < streams else 0.001)
        time.sleep(calls[-1])
        return {}

    turn = timed_turn(run, TurnLimits(seconds=0, iterations=4, lead_in=1), streams=streams)
    assert len(calls) == 4 + streams
    assert len(turn.samples["latency"]) == 4
    assert max(turn.samples["latency"]) < 500
    assert turn.wall_s < 0.5


def test_samples_are_in_the_order_of_their_ends() -> None:
    ends: list[tuple[float, int]] = []

    def run(number: int) -> Mapping[str, float]:
        time.sleep(0.001 * (number % 5))
        ends.append((time.perf_counter(), number))
        return {"number": float(number)}

    turn = timed_turn(run, TurnLimits(seconds=0, iterations=30), streams=3)
    assert sorted(turn.samples["number"]) == list(range(30))
    places = {number: place for place, (_, number) in enumerate(sorted(ends))}
    order = [places[int(number)] for number in turn.samples["number"]]
    # Two that end at the same moment may be told either way round.
    assert all(abs(place - index) <= 2 for index, place in enumerate(order))
