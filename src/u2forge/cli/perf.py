"""u2forge perf: arguments, progress and printing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from u2forge.cli.shared_arguments import MAGICMIND_NOTE
from u2forge.engine.registry import ENGINES
from u2forge.measure.perf_row import PerfResult
from u2forge.precision import PRECISION_MODES
from u2forge.report.perf_text import perf_text
from u2forge.verbs.perf import DEFAULT_PERCENTILES, SCENARIOS, perf

_STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `perf` takes."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model files, or cards' names")
    _add_list(
        parser,
        "--engine",
        str,
        ("auto", *ENGINES),
        f"what runs the models (the default engine){MAGICMIND_NOTE}",
    )
    parser.add_argument("--device", default="auto", help="a device that `u2forge engines` lists")
    _add_list(parser, "--batch-size", int, None, "pictures per inference (the model's own, or 1)")
    _add_list(parser, "--precision", str, PRECISION_MODES, "modes to build cards' models for (force_float32)")
    _add_list(parser, "--threads", int, None, "threads of the engine (one a processor)")
    _add_list(parser, "--streams", int, None, "inferences side by side (1)")
    parser.add_argument(
        "--scenario",
        choices=SCENARIOS,
        default="latency",
        help="the network alone; its best streams × batch, searched; or whole pictures, encoded to encoded",
    )
    parser.add_argument(
        "--iterations", type=int, default=10, metavar="N", help="inferences of each candidate, at least"
    )
    parser.add_argument(
        "--duration", type=float, default=3.0, metavar="S", help="seconds of each candidate, at least"
    )
    parser.add_argument(
        "--warmup", type=float, default=200.0, metavar="MS", help="milliseconds that are not counted, before"
    )
    _add_list(parser, "--percentiles", float, None, "of the latencies", default=DEFAULT_PERCENTILES)
    parser.add_argument(
        "--input", nargs="+", default=[], metavar="FILE", help="pictures, folders, globs or lists (noise)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="time each layer too, by the engine's own profiler"
    )
    parser.add_argument(
        "--json", nargs="?", const=_STDOUT, metavar="FILE", help="write JSON; without FILE print it instead"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table for spreadsheets")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")


class _AnyOf(tuple[str, ...]):
    """The valid names; every list made of them is one of them, as argparse asks."""

    def __contains__(self, value: object) -> bool:
        return all(tuple.__contains__(self, one) for one in value) if isinstance(value, list) else False


class _Extend(argparse.Action):
    """Lists that are given again add to the ones before, not to the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*(before if before is not self.default else ()), *values])


def _add_list(
    parser: argparse.ArgumentParser,
    option: str,
    kind: Callable[[str], Any],
    valid: Sequence[str] | None,
    text: str,
    *,
    default: Sequence[Any] = (),
) -> None:
    def split(words: str) -> list[Any]:
        return [kind(word.strip()) for word in words.split(",")]

    split.__name__ = f"list of {kind.__name__}"
    parser.add_argument(
        option,
        action=_Extend,
        type=split,
        default=default,
        choices=None if valid is None else _AnyOf(valid),
        metavar="LIST",
        help=f"{text}; several, with commas",
    )


def main(options: argparse.Namespace) -> int:
    """Measures and prints the report, or all of it as JSON. 1: some candidates failed, or died on the way."""
    names = (
        "engine device batch_size precision threads streams scenario iterations duration warmup percentiles input "
        "profile csv html"
    ).split()
    printing_json = options.json == _STDOUT
    progress = _Progress(on=not printing_json and sys.stderr.isatty())
    result = perf(
        options.models,
        **{name: getattr(options, name) for name in names},
        json=None if printing_json else options.json,
        progress=not printing_json,
        on_step=progress.say,
        on_result=lambda result: progress.show(result, as_json=printing_json),
    )
    for path in filter(None, (None if printing_json else options.json, options.csv, options.html)):
        print(f"written: {path}", file=sys.stderr)
    return 0 if result.complete else 1


class _Progress:
    """One line on a terminal that says what is being done, gone when the result is there."""

    def __init__(self, *, on: bool) -> None:
        self._on = on

    def say(self, step: str) -> None:
        if self._on:
            print(f"\r\x1b[K{step}", end="", file=sys.stderr, flush=True)

    def show(self, result: PerfResult, *, as_json: bool) -> None:
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        print(json.dumps(result.as_dict(), allow_nan=False) if as_json else perf_text(result))
