"""The command mm_run: MagicMind's flags in, perf's measurement, mm_run's report out; exit codes are u2forge's."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from u2forge import __version__
from u2forge.atomic_file import write_atomic
from u2forge.cli.mm_run_command_line import MmRunFlags, parse_flags
from u2forge.cli.mm_run_flags import flags_help
from u2forge.cli.mm_run_places import check_file, trace_file
from u2forge.cli.program import EXIT_CODES, exit_code_of, run_program
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import Engine, EngineOptions, Tensors
from u2forge.engine.registry import open_engine
from u2forge.errors import EngineError, InputError
from u2forge.measure.perf_row import PerfResult, PerfRow
from u2forge.measure.timed_network import filled_shape, noise_for
from u2forge.model_file.read import read_manifest
from u2forge.report.chrome_trace import chrome_trace
from u2forge.report.mm_run_report import PERCENTILES, mm_run_report, parameter_section
from u2forge.tensor_spec import TensorSpec
from u2forge.verbs.model_path import model_path
from u2forge.verbs.perf import perf
from u2forge.verbs.raw_tensors import raw_output_path, read_raw_inputs, trace_inferences, write_raw_outputs

_HELP = {"-h", "-help", "--help"}
_MOST_TRACED = 100


def program() -> NoReturn:
    """The `mm_run` command."""
    run_program(main)


def main(arguments: list[str] | None = None) -> int:
    """The exit code of `mm_run ARGUMENTS`; the report goes to stdout, everything else to stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code_of(lambda: _run(words), say=_say)


def _run(words: Sequence[str]) -> int:
    if _HELP & set(words):
        print(flags_help())
        return 0
    if "--version" in words:
        print(f"mm_run of u2forge {__version__}")
        return 0
    flags = parse_flags(words)
    logging.basicConfig(
        stream=sys.stderr, format="%(name)s: %(levelname)s: %(message)s", level=logging.WARNING
    )
    for note in flags.notes:
        _say(note)
    path = model_path(flags.model, batch_size=flags.batch_size, progress=True)
    manifest = read_manifest(path)
    specs = manifest.inputs
    shapes = _checked_shapes(flags, specs)
    sets = read_raw_inputs(flags.input_files, specs, shapes)
    _check_places(flags, outputs=len(manifest.outputs), sets=len(sets))
    if sets:
        _say("measured with made-up numbers; the --input_files serve --output_path and --trace_path alone")
    print(parameter_section(flags.shown), flush=True)
    row = _measured(flags)
    if row.status != "complete":
        _say(f"partial result: {row.reason}")
        return EXIT_CODES[EngineError]
    _write_extras(flags, path, row, sets)
    return 0


def _checked_shapes(flags: MmRunFlags, specs: Sequence[TensorSpec]) -> list[tuple[int, ...]]:
    """The inputs' shapes with the batch filled in. Raises InputError where others were asked for."""
    for name, given in (("input_dims", flags.input_dims), ("batch_size", flags.batch_sizes)):
        if given and len(given) != len(specs):
            raise InputError(
                where=f"--{name}",
                expected=f"{len(specs)}, one for each of {', '.join(spec.name for spec in specs)}",
                found=str(len(given)),
                fix="give one for each input of the model, with spaces between them",
            )
    shapes = [filled_shape(spec, batch_size=flags.batch_size or 1) for spec in specs]
    for index, dims in enumerate(flags.input_dims):
        # As in mm_run, --batch_size goes before the first size.
        wanted = (*flags.batch_sizes[index : index + 1], *dims[1:]) if flags.batch_sizes else dims
        if wanted != shapes[index]:
            raise InputError(
                where=f"--input_dims, input {specs[index].name!r}",
                expected=f"{','.join(map(str, shapes[index]))} ({specs[index].layout}), which the model was built for",
                found=",".join(map(str, wanted)),
                fix="build a model of that size: `u2forge build … --input-height H --input-width W`",
            )
    return shapes


def _check_places(flags: MmRunFlags, *, outputs: int, sets: int) -> None:
    """Raises OutputError on what could not be written after measuring."""
    if flags.output_path is not None:
        for number in range(sets):
            for index in range(outputs):
                check_file(raw_output_path(flags.output_path, index, number=number), flag="output_path")
    if flags.trace_path is not None:
        check_file(trace_file(flags.trace_path), flag="trace_path")


def _threads_to_run(flags: MmRunFlags) -> int:
    """The threads that run side by side: on a processor (both engines' own choice) no more than it has for us."""
    if flags.device.lower() not in ("auto", "cpu"):
        return flags.threads
    threads = min(flags.threads, usable_processors())
    if threads < flags.threads:
        _say(
            f"--threads {flags.threads}: {threads} run side by side, no more than the processors that can be used; "
            f"--iterations counts each of these {threads}"
        )
    return threads


def _measured(flags: MmRunFlags) -> PerfRow:
    """The one row, its report printed; also where an interruption ends it."""
    threads = _threads_to_run(flags)
    result = perf(
        flags.model,
        engine=(flags.engine,),
        device=flags.device,
        batch_size=() if flags.batch_size is None else (flags.batch_size,),
        streams=(threads,),
        # mm_run counts each thread's own; without any, the duration decides.
        iterations=max(flags.iterations * threads, 1),
        duration=flags.duration_ms / 1000,
        warmup=float(flags.warmup_ms),
        percentiles=PERCENTILES,
        progress=True,
        on_result=_print_result,
    )
    return result.rows[0]


def _print_result(result: PerfResult) -> None:
    for warning in (*result.warnings, *result.rows[0].warnings):
        _say(f"warning: {warning}")
    print(mm_run_report(result), flush=True)


def _write_extras(flags: MmRunFlags, path: Path, row: PerfRow, sets: Sequence[Tensors]) -> None:
    """The raw outputs and the trace, from inferences after the measurement."""
    outputs = flags.output_path if sets else None
    if outputs is None and flags.trace_path is None:
        return
    options = EngineOptions(device=flags.device)
    with closing(open_engine(path, engine=row.engine, options=options)) as engine:
        if outputs is not None:
            for written in write_raw_outputs(engine, sets, outputs):
                _say(f"wrote {written}")
        if flags.trace_path is not None:
            inputs = sets or [noise_for(engine.info.inputs, batch_size=row.batch_size)]
            _write_trace(engine, inputs, flags.trace_path, row=row, count=min(row.iterations, _MOST_TRACED))


def _write_trace(engine: Engine, sets: Sequence[Tensors], place: Path, *, row: PerfRow, count: int) -> None:
    path = trace_file(place)
    about = {
        "program": f"u2forge {__version__}, mm_run",
        "model": row.name or row.model,
        "engine": f"{row.engine} {row.engine_version}",
        "device": row.device_name or row.device,
        "batch_size": row.batch_size,
        "note": f"{count} inferences after the measurement, one after the other; not the measured ones",
    }
    trace = chrome_trace(trace_inferences(engine, sets, count=count), about=about)
    write_atomic(path, json.dumps(trace).encode())
    _say(f"wrote {path}")


def _say(message: str) -> None:
    print(f"mm_run: {message}", file=sys.stderr)


if __name__ == "__main__":
    program()
