"""An earlier evaluation's JSON as a gate: how much MAE and F a model may lose against it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from u2forge.errors import AccuracyError, InputError
from u2forge.evaluate.eval_row import EvalRow

# A loss of exactly the limit passes, whatever the last bits of two means say.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class BaselineRow:
    """What the gate takes from a row of an earlier evaluation."""

    dataset: str
    images: int
    model: str
    precision: str
    protocol: str
    mae: float | None
    max_f: float | None


@dataclass(frozen=True)
class Baseline:
    """An earlier evaluation. pairs_digest: of its pictures, None where it does not say."""

    path: Path
    rows: tuple[BaselineRow, ...]
    pairs_digest: str | None

    @property
    def models(self) -> set[tuple[str, str]]:
        """Its models, by name and precision."""
        return {(row.model, row.precision) for row in self.rows}


@dataclass(frozen=True)
class Gate:
    """The most that may be lost: MAE may rise by max_mae_loss, the maximum F fall by max_f_loss; None: by any."""

    baseline: Baseline
    max_mae_loss: float | None
    max_f_loss: float | None


def read_baseline(path: Path) -> Baseline:
    """The eval.json (or output of --json) of an earlier evaluation. Raises InputError where it is none."""
    try:
        values = json.loads(path.read_bytes())
        rows = tuple(_row(row) for row in values["rows"])
        digest = values.get("dataset", {}).get("digest")
    except OSError as error:
        raise _wrong(path, "a file that can be read", error.strerror or str(error)) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"[:200]
        raise _wrong(path, "JSON that `u2forge eval` wrote, with a list `rows`", found) from error
    if not rows:
        raise _wrong(path, "at least one row", "none")
    return Baseline(path, rows, digest if isinstance(digest, str) else None)


def check_baseline(baseline: Baseline, *, dataset: str, pairs_digest: str, protocols: Sequence[str]) -> None:
    """Raises InputError where the baseline is of another data set, other pictures of it or other protocols."""
    names = sorted({row.dataset for row in baseline.rows})
    if dataset not in names:
        raise _wrong(baseline.path, f"rows of the data set {dataset!r}", f"rows of {', '.join(names)}")
    if baseline.pairs_digest not in (None, pairs_digest):
        raise _wrong(
            baseline.path,
            f"the pictures that are evaluated now of {dataset!r}",
            "other pictures, or other sizes",
        )
    there = {row.protocol for row in baseline.rows if row.dataset == dataset}
    missing = [protocol for protocol in protocols if protocol not in there]
    if missing:
        raise _wrong(
            baseline.path, f"rows by the protocol {', '.join(missing)}", f"rows by {', '.join(sorted(there))}"
        )


def check_gate(rows: Sequence[EvalRow], gate: Gate) -> None:
    """Raises AccuracyError where a row loses more than the gate allows, InputError where it has no counterpart.
    Rows of a protocol that is no measure of quality are left out."""
    excesses = []
    for row in rows:
        if not row.is_off_scale:
            excesses += _excesses(row, _counterpart(row, rows, gate.baseline), gate)
    if excesses:
        raise AccuracyError(
            where=f"evaluation against {gate.baseline.path}",
            expected=", ".join(_limits(gate)),
            found="; ".join(excesses),
            fix="build the model in another precision, or raise the limit where the loss is meant",
        )


def _limits(gate: Gate) -> list[str]:
    limits = {"MAE": gate.max_mae_loss, "maximum F": gate.max_f_loss}
    return [f"a loss of {name} of at most {limit:g}" for name, limit in limits.items() if limit is not None]


def _excesses(row: EvalRow, base: BaselineRow, gate: Gate) -> list[str]:
    """What the row loses beyond the gate, in words. A figure that is not there is a loss, too."""
    changes = (
        ("MAE", base.mae, row.metrics["mae"], 1, gate.max_mae_loss),
        ("maximum F", base.max_f, row.metrics["max_f"], -1, gate.max_f_loss),
    )
    excesses = []
    for name, before, now, worse, limit in changes:
        if limit is None:
            continue
        loss = math.nan if before is None or now is None else (now - before) * worse
        if not loss <= limit + _ROUNDING:  # true for NaN
            excesses.append(
                f"{row.model} ({row.precision}, {row.protocol}): {name} {_shown(now)} against {_shown(before)} of "
                f"{base.model} ({base.precision}), a loss of {_shown(loss)}"
            )
    return excesses


def _shown(value: float | None) -> str:
    return "no figure" if value is None or math.isnan(value) else f"{value:.6f}"


def _counterpart(row: EvalRow, rows: Sequence[EvalRow], baseline: Baseline) -> BaselineRow:
    same = [base for base in baseline.rows if (base.dataset, base.protocol) == (row.dataset, row.protocol)]
    found = [base for base in same if (base.model, base.precision) == (row.model, row.precision)]
    if not found and len(same) == 1:  # one model there: whatever is evaluated now is measured by it
        found = same
    twins = [
        r for r in rows if (r.protocol, r.model, r.precision) == (row.protocol, row.model, row.precision)
    ]
    if len(found) not in (1, len(twins)):
        raise _wrong(
            baseline.path,
            f"one row of {row.model} ({row.precision}) by {row.protocol}, or of one model alone",
            f"{len(found)} of them among {', '.join(' '.join(model) for model in sorted(baseline.models))}",
        )
    base = found[0] if len(found) == 1 else found[[twin is row for twin in twins].index(True)]
    if base.images != row.images:
        raise _wrong(baseline.path, f"a row of {row.images} pictures", f"one of {base.images}")
    return base


def _row(values: Mapping[str, Any]) -> BaselineRow:
    return BaselineRow(
        dataset=str(values["dataset"]),
        images=int(values["images"]),
        model=str(values["model"]),
        precision=str(values["precision"]),
        protocol=str(values["protocol"]),
        mae=_figure(values["mae"]),
        max_f=_figure(values["max_f"]),
    )


def _figure(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number expected, found {value!r}")
    return float(value)


def _wrong(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        where=f"baseline {path}",
        expected=expected,
        found=found,
        fix="make a baseline of these pictures with `u2forge eval … --out DIR` (DIR/eval.json)",
    )
