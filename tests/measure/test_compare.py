"""Verdicts: each of them, what makes two rows the same, what cannot be compared, and the gate's words."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perf_records import STEADY, row, untold, values

from u2forge.errors import InputError, PerformanceError
from u2forge.measure.compare import check_comparison, compare
from u2forge.measure.comparison import ComparedRow, Comparison
from u2forge.measure.perf_record import PerfRecord, record_from
from u2forge.measure.perf_row import PerfRow

NOISY = (70.0, 130.0, 85.0, 120.0, 100.0, 95.0, 110.0, 75.0, 125.0, 100.0)
LABEL = "tiny force_float32 on openvino CPU, batch 1, 2 threads"


def record(*rows: PerfRow, name: str = "old.json", **top: Any) -> PerfRecord:
    return record_from(values(*rows, **top), Path(name))


def compared(old: PerfRow, new: PerfRow, *, max_loss: float = 0.05) -> ComparedRow:
    (found,) = compare(record(old), record(new, name="new.json"), max_loss=max_loss).rows
    return found


def times(factor: float, turns: tuple[float, ...] = STEADY) -> tuple[float, ...]:
    return tuple(factor * turn for turn in turns)


def said(comparison: Comparison) -> str:
    with pytest.raises(PerformanceError) as raised:
        check_comparison(comparison)
    return str(raised.value)


@pytest.mark.parametrize(
    ("factor", "verdict", "fails"),
    [
        (1.0, "same", False),
        (1.04, "same", False),
        (1.05, "same", False),
        (1.052, "uncertain", False),  # the band reaches below 5 %
        (1.06, "slower", True),
        (1.2, "slower", True),
        (0.96, "same", False),
        (0.9, "faster", False),
    ],
)
def test_verdicts_of_steady_runs(factor: float, verdict: str, fails: bool) -> None:
    found = compared(row(), row(times(factor)))
    assert (found.verdict, found.fails) == (verdict, fails)
    assert found.change == pytest.approx(factor - 1)
    assert found.old_ms == pytest.approx(100.0)
    assert found.new_ms == pytest.approx(100 * factor)
    assert found.band is not None
    assert found.band.low < factor - 1 < found.band.high


def test_noise_leaves_a_loss_uncertain_and_says_what_to_do() -> None:
    found = compared(row(), row(times(1.1, NOISY), warnings=("unstable: …",)))
    assert (found.verdict, found.fails) == ("uncertain", False)
    assert found.notes == (
        "the noise reaches below the limit: measure longer (perf --duration)",
        "new record says unstable: …",
    )


def test_a_gain_that_may_be_noise_is_no_gain() -> None:
    assert compared(row(), row(times(0.9, NOISY))).verdict == "same"


def test_noise_that_hides_a_loss_is_said() -> None:
    found = compared(row(), row(NOISY))
    assert found.verdict == "same"
    assert found.notes == (
        "the noise is larger than the limit, a loss may hide in it: measure longer (perf --duration)",
    )
    assert compared(row(), row(NOISY), max_loss=0.9).notes == ()


@pytest.mark.parametrize(
    ("old", "new", "side"),
    [(STEADY, (109.0,), "new"), ((130.0,), STEADY, "old"), ((100.0,), (109.0,), "old and new")],
)
def test_a_single_turn_tells_no_noise(old: tuple[float, ...], new: tuple[float, ...], side: str) -> None:
    found = compared(row(old), row(new))
    assert (found.verdict, found.fails, found.band) == ("uncertain", False, None)
    assert found.notes == (
        f"noise not known, a single turn in the {side} record: measure longer (perf --duration)",
    )


@pytest.mark.parametrize("scenario", ["latency", "pipeline"])
@pytest.mark.parametrize(
    ("old", "new", "side"),
    [(STEADY, (111.0,), "new"), ((90.0,), STEADY, "old"), ((100.0,), (300.0,), "old and new")],
)
def test_more_than_twice_the_limit_fails_without_a_known_noise(
    old: tuple[float, ...], new: tuple[float, ...], side: str, scenario: Any
) -> None:
    found = compared(row(old, scenario=scenario), row(new, scenario=scenario))
    assert (found.verdict, found.fails, found.band) == ("slower", True, None)
    assert found.notes == (
        f"noise not known, a single turn in the {side} record; fails, as that is more than twice the limit: "
        "measure longer (perf --duration)",
    )


def test_without_a_known_noise_exactly_twice_the_limit_is_uncertain() -> None:
    assert compared(row((100.0,)), row((110.0,))).verdict == "uncertain"
    assert compared(row((100.0,)), row((100.1,)), max_loss=0).verdict == "slower"


def test_twice_the_time_fails_however_wide_the_noise_of_a_few_turns_is() -> None:
    found = compared(row((100.0, 130.0)), row((300.0, 390.0)))
    assert found.band is not None
    assert found.band.low < 0
    assert (found.verdict, found.fails) == ("slower", True)
    assert found.notes == (
        "the noise reaches below the limit; fails, as the time has more than doubled: "
        "measure longer (perf --duration)",
    )
    assert compared(row((100.0, 130.0)), row((190.0, 247.0))).verdict == "uncertain"


def test_a_single_turn_within_the_limit_is_the_same_and_said() -> None:
    found = compared(row((100.0,)), row((101.0,)))
    assert found.verdict == "same"
    assert found.notes[0].startswith("noise not known, a single turn in the old and new record")


def test_without_any_loss_allowed() -> None:
    assert compared(row(), row(), max_loss=0).verdict == "same"
    assert compared(row(), row(), max_loss=0).notes == ()
    assert compared(row(), row(times(1.02)), max_loss=0).verdict == "slower"
    assert compared(row(), row(times(1.0001)), max_loss=0).verdict == "uncertain"
    assert compared(row(), row(times(0.98)), max_loss=0).verdict == "faster"


def test_other_scenarios_compare_the_time_per_picture() -> None:
    old, new = (row(scenario="pipeline", throughput=speed) for speed in (20.0, 16.0))
    found = compared(old, new)
    assert (found.old_ms, found.new_ms, found.change) == (50.0, 62.5, 0.25)
    assert (found.verdict, found.label) == ("slower", f"{LABEL}, pipeline")


def test_a_row_that_is_gone_fails() -> None:
    old = record(row(), row(engine="onnxruntime"))
    comparison = compare(old, record(row(), name="new.json"), max_loss=0.05)
    gone = comparison.rows[1]
    assert (gone.verdict, gone.fails, gone.new_ms, gone.change) == ("missing", True, None, None)
    assert said(comparison) == (
        "perf compare, new.json against old.json: expected every row of the old record again, none slower by more than "
        "5%; found tiny force_float32 on onnxruntime CPU, batch 1, 2 threads: missing; not in the new record. "
        "To mend: find what made the difference, or take the new record for the baseline where it is meant."
    )


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_a_row_that_is_not_complete_is_missing(status: Any) -> None:
    found = compared(row(), row(status=status, reason="out of memory"))
    assert (found.verdict, found.fails) == ("missing", True)
    assert found.notes == (f"{status} in the new record: out of memory",)


def test_a_row_that_failed_before_it_told_its_name() -> None:
    comparison = compare(record(untold(), row()), record(untold(reason="no engine")), max_loss=0.05)
    gone, failed = comparison.rows
    assert (gone.verdict, gone.notes) == ("missing", ("not in the new record",))
    assert (failed.verdict, failed.fails) == ("new", False)
    assert failed.notes == ("failed in the new record: no engine",)


def test_new_rows_follow_and_do_not_fail() -> None:
    new = record(row(engine="onnxruntime"), row())
    first, second = compare(record(row()), new, max_loss=0.05).rows
    assert (first.verdict, first.label) == ("same", LABEL)
    assert (second.verdict, second.fails, second.old_ms, second.notes) == ("new", False, None, ())
    assert second.new_ms == pytest.approx(100.0)


def test_a_baseline_that_was_stopped_is_none() -> None:
    old = record(row(status="partial"), row(engine="onnxruntime"))
    new = record(row(), row(engine="onnxruntime"))
    first, second = compare(old, new, max_loss=0.05).rows
    assert first.verdict == "same"
    assert second.verdict == "new"
    assert second.notes == ("nothing to compare with, partial in the old record",)


def test_a_baseline_without_any_complete_row() -> None:
    with pytest.raises(InputError) as raised:
        compare(record(row(status="partial"), untold()), record(row()), max_loss=0.05)
    assert str(raised.value) == (
        "perf compare, old.json: expected at least one complete row to compare with; "
        "found only rows that failed or were stopped (2). To mend: measure again with `u2forge perf … --json FILE`."
    )


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other"},
        {"precision": "force_float16"},
        {"engine": "onnxruntime"},
        {"device": "GPU"},
        {"batch_size": 4},
        {"threads": 1},
        {"streams": 2},
        {"scenario": "throughput"},
    ],
)
def test_what_makes_rows_different(other: dict[str, Any]) -> None:
    found = compare(record(row()), record(row(**other)), max_loss=0.05).rows
    assert [one.verdict for one in found] == ["missing", "new"]


def test_path_and_bytes_of_the_model_may_differ() -> None:
    moved = row(model="x.onnx", path="/other/x.onnx", model_sha256="f" * 64, size_bytes=5)
    assert compared(row(), moved).verdict == "same"


def test_what_a_search_found_may_differ() -> None:
    searched = [{"options": "", "throughput": 1.0}]
    old = row(scenario="throughput", searched=searched, batch_size=4, streams=1, throughput=20.0)
    new = replace(old, batch_size=8, streams=2)
    found = compared(old, new)
    assert found.verdict == "same"
    assert found.notes == ("the search found batch 8, 2 streams now, batch 4, 1 stream then",)


def test_rows_that_are_the_same_are_compared_in_their_order() -> None:
    old = record(row(), row(engine="onnxruntime"), row(times(2.0)))
    new = record(row(times(1.2)), row(times(2.0)), row(engine="onnxruntime"), name="new.json")
    first, other, second = compare(old, new, max_loss=0.05).rows
    assert (first.label, first.verdict) == (f"{LABEL} (1)", "slower")
    assert (second.label, second.verdict) == (f"{LABEL} (2)", "same")
    assert first.notes == ("the same candidate 2 times in a record: compared in their order",)
    assert (other.label, other.notes) == ("tiny force_float32 on onnxruntime CPU, batch 1, 2 threads", ())


def test_rows_that_are_the_same_and_gone_or_new() -> None:
    twice, other = record(row(), row()), record(row(engine="onnxruntime"))
    assert [one.verdict for one in compare(twice, other, max_loss=0.05).rows] == ["missing", "missing", "new"]
    found = compare(other, twice, max_loss=0.05).rows
    assert [one.label for one in found[1:]] == [f"{LABEL} (1)", f"{LABEL} (2)"]


def test_the_same_row_more_often_in_one_record() -> None:
    once, twice = record(row()), record(row(), row(path="b"), name="new.json")
    with pytest.raises(InputError) as raised:
        compare(once, twice, max_loss=0.05)
    assert str(raised.value) == (
        "perf compare, new.json: expected the same candidate as often as in old.json (1); "
        f"found 2 rows of {LABEL}. To mend: measure each candidate once, or as often in both; "
        "give two models of one name names of their own (`u2forge build … --name NAME`)."
    )
    with pytest.raises(InputError, match=r"perf compare, new\.json: expected the same candidate as often"):
        compare(twice, once, max_loss=0.05)


def test_another_precision_executed_fails_however_fast() -> None:
    old = record(row(executed="bfloat16"))
    comparison = compare(old, record(row(times(0.5)), name="new.json"), max_loss=0.05)
    (found,) = comparison.rows
    assert (found.verdict, found.fails) == ("faster", True)
    assert found.notes == ("executes float32 now, bfloat16 then",)
    assert f"found {LABEL}: 50.0% faster (" in said(comparison)
    assert "); executes float32 now, bfloat16 then. To mend" in said(comparison)


def test_pictures_of_another_size_fail() -> None:
    found = compared(row(size=320), row(times(0.5), size=160))
    assert found.fails
    assert found.notes == ("inputs of 3×160×160 now, 3×320×320 then",)


def test_another_version_of_the_engine_is_said_and_passes() -> None:
    found = compared(row(), row(engine_version="2026.0"))
    assert (found.verdict, found.fails) == ("same", False)
    assert found.notes == ("openvino 2026.0 now, 2025.1 then",)


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"processor": "Another"}, "Another, 2 processors, Linux x86_64"),
        ({"processors_usable": 1}, "Some Processor, 1 processor, Linux x86_64"),
        ({"system": "Darwin arm64"}, "Some Processor, 2 processors, Darwin arm64"),
    ],
)
def test_two_machines_cannot_be_compared(other: dict[str, Any], shown: str) -> None:
    old = record(row())
    machine = {"processor": "Some Processor", "processors_usable": 2, "system": "Linux x86_64", **other}
    with pytest.raises(InputError) as raised:
        compare(old, record(row(), name="new.json", machine=machine), max_loss=0.05)
    assert str(raised.value) == (
        "perf compare, new.json: expected figures of the old record's machine "
        f"(Some Processor, 2 processors, Linux x86_64); found those of another ({shown}). "
        "To mend: measure both on one machine: figures of two machines cannot be compared."
    )


def test_another_device_of_that_name_is_another_machine() -> None:
    old, new = (record(row(device="GPU", device_name=name)) for name in ("Card A", "Card B"))
    with pytest.raises(InputError, match=r"machine \(GPU: Card A\); found those of another \(GPU: Card B\)"):
        compare(old, new, max_loss=0.05)


def test_the_gate_names_every_row_that_fails() -> None:
    old = record(row(), row(engine="onnxruntime"), row(batch_size=4))
    new = record(row(times(1.2)), row(engine="onnxruntime"), name="new.json")
    text = said(compare(old, new, max_loss=0.1))
    assert "none slower by more than 10%; found " in text
    assert f"{LABEL}: 20.0% slower (+19.7% to +20.3%)" in text
    assert "; tiny force_float32 on openvino CPU, batch 4, 2 threads: missing; not in the new record." in text
    assert "onnxruntime" not in text
    check_comparison(compare(old, old, max_loss=0.0))


def test_the_comparison_as_plain_values() -> None:
    new = record(row(times(1.2)), name="new.json", versions={"u2forge": "0.2.0"}, warnings=["hot"])
    found = compare(record(row()), new, max_loss=0.05).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["passes"] is False
    assert found["versions"] == {"u2forge": ["0.1.0", "0.2.0"], "openvino": ["2025.1", None]}
    assert found["old"]["file"] == "old.json"
    assert found["new"]["warnings"] == ["hot"]
    (only,) = found["rows"]
    assert only.keys() == {"label", "verdict", "fails", "old_ms", "new_ms", "change", "band", "notes"}
    assert only["band"].keys() == {"low", "high"}


TURNS = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12).map(tuple)
ROWS = st.lists(
    st.builds(
        row,
        TURNS,
        batch_size=st.sampled_from([1, 4]),
        engine=st.sampled_from(["openvino", "onnxruntime"]),
        scenario=st.sampled_from(["latency", "pipeline"]),
        executed=st.sampled_from(["float32", "bfloat16"]),
    ),
    min_size=1,
    max_size=5,
)


@given(rows=ROWS, max_loss=st.floats(0, 0.99))
def test_a_record_never_fails_against_itself(rows: list[PerfRow], max_loss: float) -> None:
    comparison = compare(record(*rows), record(*rows), max_loss=max_loss)
    check_comparison(comparison)
    assert {one.verdict for one in comparison.rows} == {"same"}


@given(
    old=st.lists(st.floats(99, 101), min_size=5, max_size=30).map(tuple),
    new=st.lists(st.floats(99, 101), min_size=5, max_size=30).map(tuple),
    scale=st.floats(0.001, 1000),
    scenario=st.sampled_from(["latency", "pipeline"]),
)
def test_a_fifth_slower_always_fails_where_the_noise_is_small(
    old: tuple[float, ...], new: tuple[float, ...], scale: float, scenario: str
) -> None:
    found = compared(
        row(times(scale, old), scenario=scenario), row(times(1.2 * scale, new), scenario=scenario)
    )
    assert found.band is not None
    assert (found.verdict, found.fails) == ("slower", True)


@given(old=TURNS, new=TURNS, max_loss=st.floats(0, 0.99), scenario=st.sampled_from(["latency", "pipeline"]))
def test_three_times_slower_always_fails(
    old: tuple[float, ...], new: tuple[float, ...], max_loss: float, scenario: Any
) -> None:
    before = row(old, scenario=scenario)
    assert before.latency is not None
    slow = row(new, scenario=scenario)
    assert slow.latency is not None
    factor = 3 * before.latency.median / slow.latency.median
    found = compared(before, row(times(factor, new), scenario=scenario), max_loss=max_loss)
    assert (found.verdict, found.fails) == ("slower", True)


@given(old=TURNS, new=TURNS, max_loss=st.floats(0, 0.99))
def test_what_fails_one_way_does_not_fail_the_other_way(
    old: tuple[float, ...], new: tuple[float, ...], max_loss: float
) -> None:
    there = compared(row(old), row(new), max_loss=max_loss)
    back = compared(row(new), row(old), max_loss=max_loss)
    assert not (there.fails and back.fails)
    assert there.change is not None
    assert back.change is not None
    assert math.isclose((1 + there.change) * (1 + back.change), 1, rel_tol=1e-9)
