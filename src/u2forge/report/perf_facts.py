"""A perf row → its single facts as (name, value) pairs, in the order of mm_run's report: for the terminal and the page.

Every value is printable; what is not known says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from u2forge.measure.candidate import Scenario
from u2forge.measure.perf_row import OPENING_STEPS, PerfResult, PerfRow
from u2forge.report.fit_text import fitted, printable
from u2forge.report.number_text import fixed_number, short_number

Facts = list[tuple[str, str]]
NOT_AVAILABLE = "not available"
_LONGEST_LABEL = 96
SCENARIOS: Mapping[Scenario, str] = {
    "latency": "the network, one inference after the other in each stream",
    "throughput": "the network, with the streams and batch that a short search found best",
    "pipeline": "whole pictures, from encoded picture to encoded mask",
}
WORK_NOTE = (
    "Work per picture: its stages added up, without waiting between them; several are worked on at once."
)
_PARAMETERS = {
    "iterations": ("iterations", "at least {}"),
    "duration_s": ("duration", "at least {} s"),
    "warmup_ms": ("warm-up", "at least {} ms"),
    "percentiles": ("percentiles", "{}"),
}
_OPENING = {
    "import": "import the package",
    "model": "read the model",
    "engine": "create the engine",
    "contexts": "create contexts",
    "first_inference": "first inference",
    "warm_up": "warm-up",
}


def parameter_facts(row: PerfRow, result: PerfResult) -> Facts:
    """What was asked for."""
    asked = [
        ("scenario", f"{row.scenario}: {SCENARIOS[row.scenario]}"),
        ("file", row.path),
        ("options", row.options),
        ("batch size", str(row.batch_size)),
    ]
    return _shown([*asked, *limit_facts(result.parameters)])


def limit_facts(parameters: Mapping[str, Any]) -> Facts:
    """How long and how often to measure."""
    facts = []
    for name, value in parameters.items():
        label, form = _PARAMETERS.get(name, (_words(name), "{}"))
        facts.append((label, form.format(_value(value))))
    return _shown(facts)


def opening_facts(row: PerfRow) -> Facts:
    """How long each step of opening took."""
    steps = [*OPENING_STEPS, *(step for step in row.opening_ms if step not in OPENING_STEPS)]
    return _shown(
        [(_OPENING.get(step, _words(step)), _with_unit(row.opening_ms.get(step), "ms")) for step in steps]
    )


def device_facts(row: PerfRow) -> Facts:
    """What the candidate ran on."""
    return _shown(
        [
            ("engine", f"{row.engine} {row.engine_version}".strip()),
            ("device", row.device),
            ("device name", row.device_name),
            ("threads", str(row.threads) if row.threads else ""),
            ("streams", str(row.streams)),
        ]
    )


def run_facts(result: PerfResult) -> Facts:
    """What the whole run ran on, and when."""
    machine = [(_words(name), _value(value)) for name, value in result.machine.items()]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return _shown([("date", result.date), *machine, ("versions", versions)])


def model_facts(row: PerfRow) -> Facts:
    """What the model file says of itself."""
    return _shown(
        [
            ("name", row.name or row.model),
            ("precision asked", row.precision),
            ("ran in", row.executed),
            ("size", f"{row.size_bytes} bytes ({row.size_bytes / 1e6:.1f} MB)" if row.size_bytes else ""),
            ("sha256", row.model_sha256),
        ]
    )


def performance_facts(row: PerfRow) -> Facts:
    """How it went: the figures that are one number each."""
    facts = [
        ("status", row.status),
        (counted(row), str(row.iterations)),
        ("wall time", _with_unit(row.wall_s if row.iterations else None, "s")),
        ("compute time", _with_unit(row.compute_s, "s")),
        ("throughput", f"{short_number(row.throughput)} pictures/s" if row.iterations else ""),
    ]
    return _shown(facts)


def timed(row: PerfRow) -> str:
    """What a row's `latency` is: of a pipeline, how long a picture was worked on, without waiting in between."""
    return "Work per picture" if row.scenario == "pipeline" else "Latency"


def counted(row: PerfRow) -> str:
    """What a row's iterations are."""
    return "pictures" if row.scenario == "pipeline" else "inferences"


def reason_of(row: PerfRow) -> str:
    """Why a row is not complete; nothing for one that is."""
    if row.status == "complete":
        return ""
    return printable(row.reason) or ("interrupted" if row.status == "partial" else NOT_AVAILABLE)


def labels(rows: Sequence[PerfRow]) -> list[str]:
    """The rows' labels, told apart by threads and then by number where they are alike."""
    # A row that failed before its model was read has no precision, and a hole in its label.
    plain = [fitted(row.label.replace("  ", " "), _LONGEST_LABEL) for row in rows]
    with_threads = _told_apart(plain, [f", {row.threads} threads" for row in rows])
    return _told_apart(with_threads, [f" ({number})" for number in range(1, len(rows) + 1)])


def _told_apart(names: Sequence[str], endings: Sequence[str]) -> list[str]:
    counts = Counter(names)
    return [name + ending if counts[name] > 1 else name for name, ending in zip(names, endings, strict=True)]


def _shown(facts: Sequence[tuple[str, str]]) -> Facts:
    return [(printable(name), printable(value) or NOT_AVAILABLE) for name, value in facts]


def _with_unit(value: float | None, unit: str) -> str:
    text = fixed_number(value)
    return f"{text} {unit}" if text else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return str(value)
