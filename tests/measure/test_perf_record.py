"""Reading perf's JSON: what perf writes is read; anything else is refused, and the place in it named."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perf_records import STEADY, row, untold, values, write

from u2forge.errors import InputError
from u2forge.measure import perf_record
from u2forge.measure.perf_record import read_perf_record

FIX = "To mend: measure again with `u2forge perf … --json FILE`."


def test_what_perf_writes_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        row(),
        row(scenario="pipeline", batch_size=4, throughput=20.0, warnings=("unstable",)),
        untold(reason="no engine", engine="openvino", device="auto"),
        warnings=["hot"],
        versions={"u2forge": "0.1.0", "openvino": None},
    )
    record = read_perf_record(path)
    assert (record.path, record.date, record.warnings) == (path, "2026-01-02T03:04:05+00:00", ("hot",))
    assert str(record.machine) == "Some Processor, 2 processors, Linux x86_64"
    assert record.versions == {"u2forge": "0.1.0"}
    first, second, third = record.rows
    assert first.label == "tiny force_float32 on openvino CPU, batch 1, 2 threads"
    assert (first.time_ms, first.turns_ms) == (100.0, STEADY)
    assert (first.sizes, first.searched, first.warnings) == (((3, 32, 32),), False, ())
    assert second.label == "tiny force_float32 on openvino CPU, batch 4, 2 threads, pipeline"
    assert (second.time_ms, second.warnings) == (50.0, ("unstable",))
    assert (third.name, third.status, third.reason) == ("some/tiny.onnx", "failed", "no engine")
    assert (third.time_ms, third.turns_ms) == (None, ())
    assert third.label == "some/tiny.onnx on openvino auto, batch 1"


def test_a_row_that_was_stopped_has_no_figures(tmp_path: Path) -> None:
    (found,) = read_perf_record(write(tmp_path / "a.json", row(status="partial"))).rows
    assert (found.status, found.time_ms, found.turns_ms) == ("partial", None, ())


def test_streams_are_in_the_label_and_a_search_is_seen(tmp_path: Path) -> None:
    searched = [{"options": "--streams 1", "throughput": 1.0}]
    path = write(tmp_path / "a.json", row(scenario="throughput", streams=2, threads=1, searched=searched))
    (found,) = read_perf_record(path).rows
    assert found.label == "tiny force_float32 on openvino CPU, batch 1, 1 thread, 2 streams, throughput"
    assert found.searched


def test_what_a_terminal_would_obey_is_taken_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", row(name="\x1b[31mred\n\nname" + "x" * 5000, reason="a\r\tb"))
    (found,) = read_perf_record(path).rows
    assert found.name.startswith("[31mred namexxx")
    assert len(found.name) <= 1000
    assert found.reason == "a b"


def message(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        read_perf_record(path)
    return str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert (
        message(path) == f"{path}: expected a file that can be read; found No such file or directory. {FIX}"
    )


def test_a_folder(tmp_path: Path) -> None:
    assert "expected a file that can be read; found" in message(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "JSONDecodeError"),
        (b"no json", "JSONDecodeError: Expecting value: line 1"),
        (b'{"u2forge_perf": 1', "JSONDecodeError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"1" * 10_000, "ValueError: Exceeds the limit"),
    ],
)
def test_no_json(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    said = message(path)
    assert said.startswith(f"{path}: expected JSON that `u2forge perf` wrote; found {found}")
    assert said.endswith(FIX)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"u2forge_eval": 1, "rows": []}, "an object with the keys u2forge_eval, rows"),
        ({}, "an empty object"),
        ([1, 2], "a list of 2"),
        (None, "null"),
        ("u2forge_perf", "'u2forge_perf'"),
        (3.5, "3.5"),
    ],
)
def test_another_json(content: object, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    expected = "JSON that `u2forge perf` wrote, with the key u2forge_perf"
    assert message(path) == f"{path}: expected {expected}; found {found}. {FIX}"


def test_a_newer_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", row(), u2forge_perf=2, rows="of another kind")
    assert message(path) == (
        f"{path}: expected schema version 1 of perf's JSON, the newest that this u2forge reads; found version 2. "
        "To mend: compare with the u2forge that wrote it, or a newer one."
    )


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None, 10**400])
def test_no_schema_version_at_all(version: object, tmp_path: Path) -> None:
    assert ", u2forge_perf: expected" in message(write(tmp_path / "a.json", row(), u2forge_perf=version))


def test_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.json", row())
    monkeypatch.setattr(perf_record, "MOST_BYTES", path.stat().st_size)
    read_perf_record(path)
    path.write_text(path.read_text() + " ")
    assert "expected at most 0 MB, more than perf writes; found a larger file" in message(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_file_without_an_end() -> None:
    expected = "expected at most 32 MB, more than perf writes; found a larger file"
    assert message(Path("/dev/zero")) == f"/dev/zero: {expected}. {FIX}"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all: all.update(rows=[]), "rows: expected at least one row; found none"),
        (lambda all: all.update(rows={}), "rows: expected a list; found an empty object"),
        (lambda all: all.update(rows=[1]), "rows[0]: expected an object; found 1"),
        (lambda all: all.update(rows=[{}] * 10_001), "rows: expected at most 10000 entries; found 10001"),
        (lambda all: all.pop("machine"), "machine: expected this key; found no such key"),
        (lambda all: all.update(machine=None), "machine: expected an object; found null"),
        (lambda all: all["machine"].pop("system"), "machine, system: expected this key; found no such key"),
        (
            lambda all: all["machine"].update(processors_usable=0),
            "machine, processors_usable: expected a whole number from",
        ),
        (
            lambda all: all["machine"].update(processors_usable=2.5),
            "machine, processors_usable: expected a whole number; found 2.5",
        ),
        (lambda all: all["versions"].update(numpy=2), "versions, numpy: expected a text; found 2"),
        (lambda all: all.update(date=0), "date: expected a text; found 0"),
        (lambda all: all.update(warnings=[1]), "warnings[0]: expected a text; found 1"),
        (lambda all: all.update(warnings="hot"), "warnings: expected a list; found 'hot'"),
    ],
)
def test_a_value_of_another_kind(change: Change, said: str, tmp_path: Path) -> None:
    found = values(row())
    change(found)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found))
    assert f"{path}, {said}" in message(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "done"}, "status: expected one of complete, partial, failed; found 'done'"),
        ({"scenario": "speed"}, "scenario: expected one of latency, throughput, pipeline; found 'speed'"),
        ({"name": None}, "name: expected a text; found null"),
        ({"executed": ["float32"]}, "executed: expected a text; found a list of 1"),
        ({"batch_size": "1"}, "batch_size: expected a whole number; found '1'"),
        ({"batch_size": True}, "batch_size: expected a whole number; found True"),
        ({"threads": 0}, "threads: expected a whole number from 1 to 100000; found 0"),
        ({"streams": 10**30}, "streams: expected a whole number from 1 to 100000; found 1000000"),
        ({"latency": None}, "latency: expected an object; found null"),
        ({"latency": {}}, "latency, median: expected this key; found no such key"),
        ({"latency": {"median": 0}}, "latency, median: expected a number from 1e-09 to 1e+09; found 0"),
        ({"latency": {"median": -1.5}}, "latency, median: expected a number from 1e-09 to 1e+09; found -1.5"),
        (
            {"latency": {"median": float("nan")}},
            "latency, median: expected a number from 1e-09 to 1e+09; found nan",
        ),
        (
            {"latency": {"median": float("inf")}},
            "latency, median: expected a number from 1e-09 to 1e+09; found inf",
        ),
        ({"latency": {"median": "fast"}}, "latency, median: expected a number; found 'fast'"),
        ({"latency": {"median": True}}, "latency, median: expected a number; found True"),
        (
            {"latency": {"median": 10**400}},
            "latency, median: expected a number from 1e-09 to 1e+09; found 1000",
        ),
        (
            {"scenario": "pipeline", "throughput": 0},
            "throughput: expected a number from 1e-06 to 1e+12; found 0",
        ),
        ({"turn_medians": []}, "turn_medians: expected at least one time; found none"),
        ({"turn_medians": [1, None]}, "turn_medians[1]: expected a number; found null"),
        ({"turn_medians": [1, 0.0]}, "turn_medians[1]: expected a number from 1e-09 to 1e+09; found 0.0"),
        ({"turn_medians": [1] * 100_001}, "turn_medians: expected at most 100000 entries; found 100001"),
        (
            {"inputs": [{"shape": [1, -3]}]},
            "inputs[0], shape: expected whole numbers of at least 1; found -3",
        ),
        ({"inputs": [{"shape": [1] * 9}]}, "inputs[0], shape: expected at most 8 entries; found 9"),
        ({"inputs": ["image"]}, "inputs[0]: expected an object; found 'image'"),
        ({"searched": None}, "searched: expected a list; found null"),
    ],
)
def test_a_row_of_another_kind(change: dict[str, object], said: str, tmp_path: Path) -> None:
    found = values(row(), row(engine="onnxruntime"))
    found["rows"][1].update(change)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found))
    assert f"{path}, rows[1], {said}" in message(path)


@pytest.mark.parametrize(
    "key", ["name", "model", "precision", "executed", "engine", "device", "turn_medians"]
)
def test_a_key_that_is_not_there(key: str, tmp_path: Path) -> None:
    found = values(row())
    del found["rows"][0][key]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found))
    said = f"{path}, rows[0], {key}: expected this key; found no such key. {FIX}"
    if key == "model":  # needed only where there is no name
        read_perf_record(path)
    else:
        assert message(path) == said


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data(), anything=ANY)
def test_whatever_a_value_is_it_is_read_or_refused(
    data: st.DataObject, anything: object, tmp_path: Path
) -> None:
    found = values(row(), untold())
    places = [found, found["machine"], found["versions"], *found["rows"], found["rows"][0]["latency"]]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = anything
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found))
    with suppress(InputError):
        read_perf_record(path)
