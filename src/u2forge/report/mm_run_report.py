"""What perf measured → the text that MagicMind's mm_run prints: its sections, their order and its labels.

The labels are mm_run's own, so that scripts find them; what they stand for on a processor or GPU is in docs/mm_run.md.
Source of the look: the README of mm_run among MagicMind's samples; of the performance summary's labels: its manual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from u2forge import __version__
from u2forge.engine.engine_entry import NVIDIA_KINDS, device_kind
from u2forge.measure.perf_row import PerfResult, PerfRow, TensorInfo
from u2forge.measure.spread import Spread
from u2forge.report.fit_text import printable
from u2forge.report.perf_facts import NOT_AVAILABLE

PERCENTILES = (90.0, 95.0, 99.0)
_RULE = "==================="
# Opening's steps as mm_run calls them; the package's import and the first inference have no line there.
_OPENING = {
    "import": "ImportEngine",
    "model": "DeserializeModel",
    "engine": "CreateEngine 0",
    "contexts": "CreateContext",
    "first_inference": "FirstInference",
}
_PHASES = {
    "enqueue": "Enqueue Time (ms)",
    "host_to_device": "H2D Latency (ms)",
    "compute": "MLU Compute Latency (ms)",
    "device_to_host": "D2H Latency (ms)",
}
# Of an MLU alone; their lines stay, for whoever reads them.
_MLU_FACTS = (
    "Compute Capability",
    "Cluster Number",
    "MLU Core Clock Rate",
    "Memory Bus Width",
    "Memory Clock Rate",
    "Maximum Queue Size",
    "Sparse Computing Support",
)
_TYPES = {"float32": "FLOAT"}


def parameter_section(parameters: Mapping[str, str]) -> str:
    """What is printed before measuring. parameters: flag, with mm_run's type behind it (`threads<Int>`), to value."""
    lines = [
        f"u2forge {__version__} in mm_run's words: measured on this machine's processor or GPU, no MLU is used",
        f"{_RULE} Parameter Information",
        *(f"--{name:<28}: {printable(value)}".rstrip() for name, value in parameters.items()),
        f"u2forge: {__version__}",
    ]
    return "\n".join(lines)


def mm_run_report(result: PerfResult) -> str:
    """All that is printed after measuring, of the result's one row, which must hold an inference."""
    (row,) = result.rows
    return "\n".join(
        [
            *_opening(row),
            *_device(row, result.machine),
            *_model(row),
            *_utilization(row),
            *_performance(row),
            *_averages(row),
        ]
    )


def _opening(row: PerfRow) -> Iterator[str]:
    for step, label in _OPENING.items():
        yield _timed(label, row.opening_ms.get(step))
    # mm_run has a line a thread; here all threads warm up together.
    yield _timed("warmup_dev_0" + ("_thread_0" if row.streams == 1 else ""), row.opening_ms.get("warm_up"))


def _timed(label: str, milliseconds: float | None) -> str:
    return f"{label} time is {NOT_AVAILABLE if milliseconds is None else f'{_short(milliseconds, 6)} ms'}."


def _device(row: PerfRow, machine: Mapping[str, object]) -> Iterator[str]:
    memory_gib = machine.get("memory_gib") if _is_processor(row) else None
    memory = f"{1024 * memory_gib:.0f} (MB)" if isinstance(memory_gib, int | float) else NOT_AVAILABLE
    yield f"{_RULE} Device Information"
    yield _line("Device ID", 0)
    yield _line("Device", f"{row.device}, no MLU")
    yield _line("Device Name", row.device_name or NOT_AVAILABLE)
    yield _line("Engine", f"{row.engine} {row.engine_version}")
    yield _line("Precision", f"{row.precision}, executed in {row.executed}")
    yield _line("Processor Threads", row.threads)
    yield _line("Streams", row.streams)
    yield _line("Processors Usable", machine.get("processors_usable") or NOT_AVAILABLE)
    yield _line("Total Memory Size", memory)
    for name in _MLU_FACTS:
        yield _line(name, NOT_AVAILABLE)


def _is_processor(row: PerfRow) -> bool:
    return row.device.upper().startswith("CPU")


def _model(row: PerfRow) -> Iterator[str]:
    yield f"{_RULE} Model Information"
    yield f"{'Name:':<10}{printable(row.name or row.model)}"
    yield f"{'Size:':<10}{row.size_bytes}"
    yield f"Input num: {len(row.inputs)}"
    yield f"Output num: {len(row.outputs)}"
    for title, tensors in (("Input", row.inputs), ("Output", row.outputs)):
        yield f"{title} info ["
        yield from map(_tensor, tensors)
        yield "]"


def _tensor(tensor: TensorInfo) -> str:
    shape = ", ".join(map(str, tensor.shape))
    dtype = _TYPES.get(tensor.dtype, tensor.dtype.upper())
    return f"{printable(tensor.name):<20}: [{shape}], {dtype}, {tensor.layout}, {tensor.bytes} bytes"


def _utilization(row: PerfRow) -> Iterator[str]:
    yield f"{_RULE} Device Utilization Summary"
    found = row.utilization
    if _is_processor(row):
        # A GPU that is there too has not done this work.
        yield _line("chip_util(%)", _spread(found.get("cpu_percent")))
        yield _line("mem_util(MB)", _spread(found.get("memory_mb")))
        yield _line("power_util(W)", NOT_AVAILABLE)
        yield _line("temp_util(C)", NOT_AVAILABLE)
        return
    # Of other GPUs nothing is read.
    of_gpu = found if device_kind(row.device) in NVIDIA_KINDS else {}
    yield _line("chip_util(%)", _spread(of_gpu.get("gpu_percent")))
    yield _line("mem_util(MB)", _spread(of_gpu.get("gpu_memory_mb")))
    yield _line("power_util(W)", _spread(of_gpu.get("gpu_power_w")))
    yield _line("temp_util(C)", _spread(of_gpu.get("gpu_temperature_c")))
    yield _line("host_util(%)", _spread(found.get("cpu_percent")))
    yield _line("host_mem_util(MB)", _spread(found.get("memory_mb")))


def _performance(row: PerfRow) -> Iterator[str]:
    yield f"{_RULE} Performance Summary"
    if row.status != "complete":
        yield _line("Status", f"{row.status}: {row.reason or 'interrupted'}")
    yield _line("Iterations", row.iterations)
    yield _line("Host Wall Time (s)", _short(row.wall_s, 6))
    yield _line("MLU Compute Time (s)", NOT_AVAILABLE if row.compute_s is None else _short(row.compute_s, 6))
    # The number alone, and this label once in the report: scripts cut the line behind the label or its one colon.
    yield _line("Throughput (qps)", _short(row.throughput, 6))
    for phase, label in _PHASES.items():
        yield _line(label, _spread(row.phases.get(phase)))
    yield _line("Total Latency (ms)", _spread(row.latency))


def _averages(row: PerfRow) -> Iterator[str]:
    yield "Trace average MLU Compute perf over 100 runs:"
    last = row.iterations - 100 * (len(row.per_hundred) - 1)
    for index, means in enumerate(row.per_hundred):
        cells = [
            f"{label}: {_mean(means, name):<10}"
            for label, name in (
                ("Latency(host clock, ms)", "compute"),
                ("Interface Duration(ms)", "enqueue"),
                ("Whole(ms)", "latency"),
            )
        ]
        fewer = f"  ({last} runs)" if index == len(row.per_hundred) - 1 and last != 100 else ""
        yield f"  {'  '.join(cells)}{fewer}".rstrip()


def _mean(means: Mapping[str, float], name: str) -> str:
    return _short(means[name], 5) if name in means else NOT_AVAILABLE


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return NOT_AVAILABLE
    parts = [f"{name}: {_short(getattr(spread, name), 5):<10}" for name in ("min", "max", "mean", "median")]
    told = [percent for percent in PERCENTILES if percent in spread.percentiles]
    if told:
        parts += ["percentile:", *_percentiles(spread, told)]
    return " ".join(parts).rstrip()


def _percentiles(spread: Spread, told: Sequence[float]) -> list[str]:
    return [f"({percent:g}%) {_short(spread.percentiles[percent], 5):<10}" for percent in told]


def _line(label: str, value: object) -> str:
    return f"{label + ':':<29} {printable(str(value))}"


def _short(value: float, digits: int) -> str:
    """The number with so many digits that count, without an exponent where it is large."""
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"
