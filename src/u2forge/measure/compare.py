"""Two records of perf → a verdict for each row: slower, faster, the same, or nothing that can be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from u2forge.errors import InputError, PerformanceError
from u2forge.measure.comparison import ComparedRow, Comparison, Verdict
from u2forge.measure.noise_band import Band, noise_band
from u2forge.measure.perf_record import PerfRecord, RecordRow

# A loss of exactly the limit passes, whatever the last bits of a quotient say.
_ROUNDING = 1e-9
# A loss above twice the limit does not pass for want of a known noise: the limit itself leaves room for noise once.
_LIMITS_WITHOUT_BAND = 2
# Nor does twice the time, however wide the band of a few turns is.
_TOO_MUCH = 1.0
_LONGER = "measure longer (perf --duration)"
_Key = tuple[object, ...]


def compare(old: PerfRecord, new: PerfRecord, *, max_loss: float) -> Comparison:
    """A verdict for each row of `old`, and for what `new` has besides. max_loss: the share of its time that a row may
    lose.

    `slower`: by more than max_loss, as is the whole noise band; or by more than twice max_loss, where no band is known
    or the time has more than doubled; fails. `uncertain`: by more than max_loss all the same; or faster by more than
    that, and no band is known. `faster`: by more than max_loss, and the whole band is faster. `same`: the rest.
    `missing`: no complete row in `new`; fails. `new`: no complete row in `old`. A row that executes another precision,
    or takes inputs of another size, fails whatever its time is.

    Rows are the same by model name, precision, engine, device, batch, threads, streams and scenario; batch and streams
    that a search found are not asked for. Several that are the same are compared in their order. Raises InputError
    where the records are of two machines, `old` has no complete row, or the same row is there more often in one record.
    """
    _check_machines(old, new)
    if not any(_is_complete(row) for row in old.rows):
        raise InputError(
            where=f"perf compare, {old.path}",
            expected="at least one complete row to compare with",
            found=f"only rows that failed or were stopped ({len(old.rows)})",
            fix="measure again with `u2forge perf … --json FILE`",
        )
    before, now = _by_key(old), _by_key(new)
    counts = _counts(old, new, before, now)
    rows = {key: _compared(row, now.get(key), max_loss) for key, row in before.items() if _is_complete(row)}
    rows |= {key: _new(row, before.get(key)) for key, row in now.items() if key not in rows}
    numbered = [_numbered(row, number, counts[key]) for (key, number), row in rows.items()]
    return Comparison(old, new, max_loss, tuple(numbered))


def check_comparison(comparison: Comparison) -> None:
    """Raises PerformanceError, naming every row that fails."""
    if comparison.failed:
        raise PerformanceError(
            where=f"perf compare, {comparison.new.path} against {comparison.old.path}",
            expected=f"every row of the old record again, none slower by more than {100 * comparison.max_loss:g}%",
            found="; ".join(f"{row.described()}" for row in comparison.failed),
            fix="find what made the difference, or take the new record for the baseline where it is meant",
        )


def _compared(old: RecordRow, new: RecordRow | None, max_loss: float) -> ComparedRow:
    if new is None or new.time_ms is None or old.time_ms is None:
        note = "not in the new record" if new is None else _incomplete(new)
        return ComparedRow(old.label, "missing", fails=True, old_ms=old.time_ms, notes=(note,))
    change = new.time_ms / old.time_ms - 1
    band = noise_band(change, old.turns_ms, new.turns_ms)
    verdict = _verdict(change, band, max_loss)
    other_work = _other_work(old, new)
    row = ComparedRow(
        label=old.label,
        verdict=verdict,
        fails=verdict == "slower" or bool(other_work),
        old_ms=old.time_ms,
        new_ms=new.time_ms,
        change=change,
        band=band,
    )
    return replace(row, notes=(*other_work, *_differences(old, new), *_doubts(row, old, new, max_loss)))


def _verdict(change: float, band: Band | None, max_loss: float) -> Verdict:
    limit = max_loss + _ROUNDING
    if abs(change) <= limit:
        return "same"
    if change > 0:
        is_lost = band is not None and band.low > limit
        return "slower" if is_lost or change > _most_uncertain(band, max_loss) + _ROUNDING else "uncertain"
    if band is None:
        return "uncertain"
    return "faster" if band.high < 0 else "same"


def _most_uncertain(band: Band | None, max_loss: float) -> float:
    """The loss above which noise is no excuse any more, known or not."""
    most = _LIMITS_WITHOUT_BAND * max_loss
    return most if band is None else max(most, _TOO_MUCH)


def _other_work(old: RecordRow, new: RecordRow) -> list[str]:
    """Why the two rows' times say nothing of each other."""
    found = []
    if old.executed != new.executed:
        found.append(f"executes {new.executed} now, {old.executed} then")
    if old.sizes != new.sizes:
        found.append(f"inputs of {_sizes(new)} now, {_sizes(old)} then")
    return found


def _differences(old: RecordRow, new: RecordRow) -> list[str]:
    found = []
    if old.engine_version != new.engine_version:
        found.append(f"{new.engine} {new.engine_version} now, {old.engine_version} then")
    if (old.batch_size, old.streams) != (new.batch_size, new.streams):
        found.append(f"the search found {_settings(new)} now, {_settings(old)} then")
    return found


def _doubts(row: ComparedRow, old: RecordRow, new: RecordRow, max_loss: float) -> list[str]:
    """How far the verdict can be trusted, and what to do about it."""
    sides = (("old", old), ("new", new))
    found = []
    if row.band is None:
        single = " and ".join(name for name, side in sides if len(side.turns_ms) < 2)
        beyond = "; fails, as that is more than twice the limit" if row.verdict == "slower" else ""
        found.append(f"noise not known, a single turn in the {single} record{beyond}: {_LONGER}")
    elif row.verdict == "uncertain":
        found.append(f"the noise reaches below the limit: {_LONGER}")
    elif row.verdict == "slower" and row.band.low <= max_loss + _ROUNDING:
        found.append(
            f"the noise reaches below the limit; fails, as the time has more than doubled: {_LONGER}"
        )
    elif row.verdict == "same" and row.change is not None and row.band.high - row.change > max_loss > 0:
        found.append(f"the noise is larger than the limit, a loss may hide in it: {_LONGER}")
    if row.verdict in ("slower", "uncertain"):
        found += [f"{name} record says {text}" for name, side in sides for text in side.warnings]
    return found


def _new(row: RecordRow, old: RecordRow | None) -> ComparedRow:
    notes = [] if _is_complete(row) else [_incomplete(row)]
    if old is not None:
        notes.append(f"nothing to compare with, {old.status} in the old record")
    return ComparedRow(row.label, "new", fails=False, new_ms=row.time_ms, notes=tuple(notes))


def _incomplete(row: RecordRow) -> str:
    return f"{row.status} in the new record" + (f": {row.reason}" if row.reason else "")


def _is_complete(row: RecordRow | None) -> bool:
    return row is not None and row.status == "complete"


def _by_key(record: PerfRecord) -> dict[tuple[_Key, int], RecordRow]:
    """The rows by what tells them apart, and by their number among those that nothing does."""
    rows: dict[tuple[_Key, int], RecordRow] = {}
    counts: Counter[_Key] = Counter()
    for row in record.rows:
        # What failed before it was opened did not tell its precision, and is like no other.
        key = _key(row) if row.precision else (object(),)
        counts[key] += 1
        rows[key, counts[key]] = row
    return rows


def _counts(
    old: PerfRecord,
    new: PerfRecord,
    before: Mapping[tuple[_Key, int], RecordRow],
    now: Mapping[tuple[_Key, int], RecordRow],
) -> Counter[_Key]:
    """How often each row is there. Raises InputError where that is not clear enough to say which are compared."""
    then_counts, now_counts = (Counter(key for key, _ in rows) for rows in (before, now))
    for key in [key for key in then_counts if key in now_counts]:
        (fewer, other), (more, record) = sorted(
            ((then_counts[key], old), (now_counts[key], new)), key=lambda one: one[0]
        )
        if more > fewer:
            raise InputError(
                where=f"perf compare, {record.path}",
                expected=f"the same candidate as often as in {other.path} ({fewer})",
                found=f"{more} rows of {before[key, 1].label}",
                fix="measure each candidate once, or as often in both; give two models of one name names of their "
                "own (`u2forge build … --name NAME`)",
            )
    return then_counts | now_counts


def _numbered(row: ComparedRow, number: int, count: int) -> ComparedRow:
    """The row; one of several that are the same says which one it is."""
    if count == 1:
        return row
    note = f"the same candidate {count} times in a record: compared in their order"
    return replace(row, label=f"{row.label} ({number})", notes=(note, *row.notes))


def _key(row: RecordRow) -> _Key:
    # What a search found is its result, not what was asked for.
    settings = ("best", "best") if row.searched else (row.batch_size, row.streams)
    return (row.name, row.precision, row.engine, row.device, row.threads, row.scenario, *settings)


def _check_machines(old: PerfRecord, new: PerfRecord) -> None:
    if old.machine != new.machine:
        raise _two_machines(new.path, str(old.machine), str(new.machine))
    names = {(row.engine, row.device): row.device_name for row in old.rows if _is_complete(row)}
    for row in new.rows:
        name = names.get((row.engine, row.device), row.device_name)
        if _is_complete(row) and row.device_name != name:
            raise _two_machines(new.path, f"{row.device}: {name}", f"{row.device}: {row.device_name}")


def _two_machines(path: Path, old: str, new: str) -> InputError:
    return InputError(
        where=f"perf compare, {path}",
        expected=f"figures of the old record's machine ({old})",
        found=f"those of another ({new})",
        fix="measure both on one machine: figures of two machines cannot be compared",
    )


def _sizes(row: RecordRow) -> str:
    return ", ".join("×".join(map(str, sizes)) for sizes in row.sizes)


def _settings(row: RecordRow) -> str:
    return f"batch {row.batch_size}, {row.streams} stream{'' if row.streams == 1 else 's'}"
