"""The JSON that perf wrote → what a comparison takes from it, checked: the file may hold anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from u2forge.errors import InputError
from u2forge.measure.candidate import Scenario
from u2forge.measure.perf_row import PERF_SCHEMA, Status

# A hundred rows with layers and the means of an hour each are about 10 MB.
MOST_BYTES = 32 * 2**20
_MOST_ROWS = 10_000
_MOST_TURNS = 100_000
_LONGEST_TEXT = 1_000
# A picosecond, and eleven days: what lies beyond is no time of an inference.
_SHORTEST_MS, _LONGEST_MS = 1e-9, 1e9
_FIX = "measure again with `u2forge perf … --json FILE`"


@dataclass(frozen=True)
class Machine:
    """What figures are of. processors: how many the process could use."""

    processor: str
    processors: int
    system: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.processors} processor{_s(self.processors)}, {self.system}"


@dataclass(frozen=True)
class RecordRow:
    """One candidate of a record. time_ms: its median latency in the scenario `latency`, the time per picture in
    others; None where it is not complete; turns_ms: the same of each turn. threads: 0 where it failed before
    they were known. sizes: of its inputs, without the batch. searched: whether batch and streams are the best
    that a search found."""

    name: str
    precision: str
    executed: str
    engine: str
    engine_version: str
    device: str
    device_name: str
    batch_size: int
    threads: int
    streams: int
    scenario: Scenario
    status: Status
    reason: str
    time_ms: float | None
    turns_ms: tuple[float, ...]
    sizes: tuple[tuple[int, ...], ...]
    searched: bool
    warnings: tuple[str, ...]

    @property
    def label(self) -> str:
        """What tells the row from all others, in words."""
        words = (self.name, self.precision, "on", self.engine, self.device)
        parts = [" ".join(filter(None, words)), f"batch {self.batch_size}"]
        if self.threads:
            parts.append(f"{self.threads} thread{_s(self.threads)}")
        if self.streams > 1:
            parts.append(f"{self.streams} streams")
        if self.scenario != "latency":
            parts.append(self.scenario)
        return ", ".join(parts)


@dataclass(frozen=True)
class PerfRecord:
    """A whole run of perf, as its file says. versions: of packages; warnings: of the machine as a whole."""

    path: Path
    date: str
    machine: Machine
    versions: Mapping[str, str]
    warnings: tuple[str, ...]
    rows: tuple[RecordRow, ...]


def read_perf_record(path: Path) -> PerfRecord:
    """The record in that file. Raises InputError where it is none that this u2forge reads, naming the place in it."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _wrong(str(path), "a file that can be read", error.strerror or str(error)) from error
    if len(content) > MOST_BYTES:
        raise _wrong(str(path), f"at most {MOST_BYTES // 2**20} MB, more than perf writes", "a larger file")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"[:200]
        raise _wrong(str(path), "JSON that `u2forge perf` wrote", found) from error
    return record_from(values, path)


def record_from(values: object, path: Path) -> PerfRecord:
    """The record that those values of JSON say. Raises InputError where they are of another kind."""
    if not isinstance(values, dict) or "u2forge_perf" not in values:
        raise _wrong(str(path), "JSON that `u2forge perf` wrote, with the key u2forge_perf", _kind(values))
    record = _Object(values, str(path))
    version = record.count("u2forge_perf")
    if version > PERF_SCHEMA:
        raise InputError(
            where=str(path),
            expected=f"schema version {PERF_SCHEMA} of perf's JSON, the newest that this u2forge reads",
            found=f"version {version}",
            fix="compare with the u2forge that wrote it, or a newer one",
        )
    machine = record.inner("machine")
    rows = record.objects("rows", most=_MOST_ROWS)
    if not rows:
        raise record.wrong("rows", "at least one row", "none")
    return PerfRecord(
        path=path,
        date=record.text("date"),
        machine=Machine(
            machine.text("processor"), machine.count("processors_usable"), machine.text("system")
        ),
        versions=record.inner("versions").texts(),
        warnings=record.strings("warnings"),
        rows=tuple(_row(row) for row in rows),
    )


def _row(row: _Object) -> RecordRow:
    status: Status = row.choice("status", get_args(Status))
    scenario: Scenario = row.choice("scenario", get_args(Scenario))
    complete = status == "complete"
    return RecordRow(
        # A candidate that failed before it was opened did not tell its name.
        name=row.text("name") or row.text("model"),
        precision=row.text("precision"),
        executed=row.text("executed"),
        engine=row.text("engine"),
        engine_version=row.text("engine_version"),
        device=row.text("device"),
        device_name=row.text("device_name"),
        batch_size=row.count("batch_size"),
        threads=row.count("threads", least=1 if complete else 0),
        streams=row.count("streams"),
        scenario=scenario,
        status=status,
        reason=row.text("reason"),
        time_ms=_time_ms(row, scenario) if complete else None,
        turns_ms=row.times("turn_medians" if scenario == "latency" else "turn_times") if complete else (),
        sizes=tuple(tensor.sizes("shape")[1:] for tensor in row.objects("inputs")),
        searched=bool(row.objects("searched")),
        warnings=row.strings("warnings"),
    )


def _time_ms(row: _Object, scenario: Scenario) -> float:
    if scenario == "latency":
        return row.inner("latency").time("median")
    return 1000 / row.number("throughput", 1000 / _LONGEST_MS, 1000 / _SHORTEST_MS)


class _Object:
    """One JSON object, whose values are taken by key and kind."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where

    def text(self, key: str) -> str:
        return _one_line(self._take(key, str, "a text"))

    def choice(self, key: str, valid: tuple[Any, ...]) -> Any:
        value = self.text(key)
        if value not in valid:
            raise self.wrong(key, f"one of {', '.join(valid)}", repr(value[:80]))
        return value

    def count(self, key: str, *, least: int = 1) -> int:
        value: int = self._take(key, int, "a whole number")
        if not least <= value <= _MOST_TURNS:
            raise self.wrong(key, f"a whole number from {least} to {_MOST_TURNS}", str(value)[:40])
        return value

    def number(self, key: str, least: float, most: float) -> float:
        return self._number(self._value(key), key, least, most)

    def time(self, key: str) -> float:
        return self.number(key, _SHORTEST_MS, _LONGEST_MS)

    def times(self, key: str) -> tuple[float, ...]:
        values = self._list(key, _MOST_TURNS)
        if not values:
            raise self.wrong(key, "at least one time", "none")
        return tuple(
            self._number(value, f"{key}[{index}]", _SHORTEST_MS, _LONGEST_MS)
            for index, value in enumerate(values)
        )

    def sizes(self, key: str) -> tuple[int, ...]:
        values = self._list(key, 8)
        for value in values:
            if type(value) is not int or value < 1:
                raise self.wrong(key, "whole numbers of at least 1", _kind(value))
        return tuple(values)

    def strings(self, key: str) -> tuple[str, ...]:
        values = self._list(key, _MOST_ROWS)
        for index, value in enumerate(values):
            if type(value) is not str:
                raise self.wrong(f"{key}[{index}]", "a text", _kind(value))
        return tuple(map(_one_line, values))

    def texts(self) -> dict[str, str]:
        """All of it; null, for what is not installed, is left out."""
        return {_one_line(key): self.text(key) for key, value in self._values.items() if value is not None}

    def inner(self, key: str) -> _Object:
        return _Object(self._take(key, dict, "an object"), f"{self._where}, {key}")

    def objects(self, key: str, *, most: int = _MOST_ROWS) -> list[_Object]:
        values = self._list(key, most)
        for index, value in enumerate(values):
            if type(value) is not dict:
                raise self.wrong(f"{key}[{index}]", "an object", _kind(value))
        return [_Object(value, f"{self._where}, {key}[{index}]") for index, value in enumerate(values)]

    def wrong(self, key: str, expected: str, found: str) -> InputError:
        return _wrong(f"{self._where}, {key}", expected, found)

    def _list(self, key: str, most: int) -> list[Any]:
        values: list[Any] = self._take(key, list, "a list")
        if len(values) > most:
            raise self.wrong(key, f"at most {most} entries", str(len(values)))
        return values

    def _number(self, value: object, key: str, least: float, most: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number", _kind(value))
        if not least <= value <= most:  # false for NaN
            raise self.wrong(key, f"a number from {least:g} to {most:g}", str(value)[:40])
        return float(value)

    def _take(self, key: str, kind: type, expected: str) -> Any:
        value = self._value(key)
        if type(value) is not kind:
            raise self.wrong(key, expected, _kind(value))
        return value

    def _value(self, key: str) -> Any:
        if key not in self._values:
            raise self.wrong(key, "this key", "no such key")
        return self._values[key]


def _one_line(text: str) -> str:
    """The text without line ends and what a terminal would obey, and no longer than anything needs."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_TEXT])
    return " ".join(shown.split())


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        keys = ", ".join(_one_line(key)[:40] for key in list(value)[:4])
        return f"an object with the keys {keys}" if keys else "an empty object"
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:80]


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _wrong(where: str, expected: str, found: str) -> InputError:
    return InputError(where=where, expected=expected, found=found, fix=_FIX)
