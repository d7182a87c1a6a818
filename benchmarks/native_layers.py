"""Where the native engine's time goes: its steps by resolution and kind, against the peak of its own products.

    python benchmarks/native_layers.py --calibration ~/photos --docs

Products are those that the kernels execute, with the padding of channels and tiles: in Winograd's domain 36 for each
tile of 4×4 pixels or 64 of 6×6, elsewhere as many as a 3×3 kernel has taps inside the picture. The peak is measured in
the same run (product_peak.py). "At the peak": how long the products alone would take there; all transforms, and
waiting for memory and threads, are what is above. Precisions in turn, median of each step's times.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from machine import commit
from native_document import NATIVE_MODES, check_section, table, write_section
from own_models import DEFAULT_WORK, own_models
from peer_models import folder_name
from product_peak import product_peak
from u2forge.cache_dir import cache_dir
from u2forge.engine.native_engine import (
    find_device,
    level_of,
    native_devices,
    open_program,
    session_arrays,
)
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions
from u2forge.measure.machine import machine_facts
from u2forge.measure.roofline import copied_bytes, measured_bandwidth
from u2forge.measure.timed_network import noise_for
from u2forge.model_file.read import open_model_file
from u2forge.native.encode import ALGORITHM_COLUMN, KIND_COLUMN
from u2forge.native.layers import Layer
from u2forge.native.plan import GROUP, Algorithm, Kind, Layout
from u2forge.native.prepared import Prepared
from u2forge.native.weights_layout import WEIGHT_BYTES
from write_record import check_place, write_record

HERE = Path(__file__).resolve().parent
WARM_UP = 3
# Columns of the table of steps (native/encode.py): the first of each view's three, and the dilation.
SOURCE, TARGET, DILATION = 1, 4, 14
STEPS = {Algorithm.WINOGRAD: 4, Algorithm.WINOGRAD_6X6: 6}
NAMES = {
    Algorithm.DIRECT: "direct",
    Algorithm.WINOGRAD: "Winograd",
    Algorithm.WINOGRAD_6X6: "Winograd 6×6",
}
CONVOLUTIONS = (
    Kind.FIRST_CONVOLUTION,
    Kind.CONVOLUTION,
    Kind.SIDE_CONVOLUTION,
    Kind.POINTWISE_CONVOLUTION,
)


@dataclass(frozen=True)
class StepRow:
    """One step. macs: that the kernels execute; weights_bytes: that are read for them, once an inference at least."""

    name: str
    group: str
    precision: str
    kernel: str
    height: int
    ms: float
    macs: int
    weights_bytes: int


class Profiled:
    """A model's session, and its steps' times, inference by inference."""

    def __init__(self, path: Path, *, device: str, threads: int) -> None:
        level = level_of(find_device(native_devices(), device))
        options = EngineOptions(threads=threads, cache_folder=cache_dir() / "compiled")
        model = open_model_file(path)
        self.prepared, program = open_program(model, options, level)
        self.precision = self.prepared.precision
        self._session = program.session(threads, level)
        noise = noise_for(model.manifest.inputs, batch_size=1)
        self._inputs, self._outputs = session_arrays(self.prepared, noise)
        self.times_ms: list[Any] = []

    def run(self, *, counted: bool) -> None:
        """One inference."""
        row = np.zeros(len(self.prepared.layers))
        self._session.run(self._inputs, self._outputs, row)
        if counted:
            self.times_ms.append(row)

    def rows(self) -> list[StepRow]:
        """The steps in their order."""
        medians = np.median(np.stack(self.times_ms), axis=0)
        prepared = self.prepared
        return [
            step_row(prepared, layer, step, float(ms))
            for layer, step, ms in zip(prepared.layers, prepared.steps, medians, strict=True)
        ]


def main() -> None:
    options = parse_options()
    check_place(options.json)
    if options.docs:
        check_section("native layers")
    models = own_models(options.work, options.calibration, NATIVE_MODES)
    level = level_of(find_device(native_devices(), options.device))
    profiled = [Profiled(path, device=options.device, threads=options.threads) for path in models]
    precisions = list(dict.fromkeys(("float32", *(one.precision for one in profiled))))
    # Before and after: another load makes peaks lower, never higher.
    peaks = [measured_peaks(precisions, options.threads, level)]
    for turn in range(WARM_UP + options.iterations):
        for one in profiled:
            one.run(counted=turn >= WARM_UP)
        print(f"inference {turn + 1} of {WARM_UP + options.iterations}", file=sys.stderr)
    peaks.append(measured_peaks(precisions, options.threads, level))
    highest = {precision: max(one[precision] for one in peaks) for precision in precisions}
    record: dict[str, Any] = {
        "benchmark": "native_layers",
        "commit": commit(),
        "input": "1x3x320x320",
        "level": level,
        "threads": options.threads,
        "iterations": options.iterations,
        "calibration": "demo" if options.calibration is None else folder_name(options.calibration),
        "machine": machine_facts(("u2forge", "numpy")),
        "peaks_gmac_per_s": highest,
        "bandwidth_gb_per_s": round(measured_bandwidth(options.threads, copied_bytes()[0]), 1),
        "networks": [
            network_of(mode, one, highest) for mode, one in zip(NATIVE_MODES, profiled, strict=True)
        ],
    }
    write_record(options.json, record)
    print(tables(record))
    if options.docs:
        write_section("native layers", tables(record), record, options.json)


def parse_options() -> argparse.Namespace:
    today = datetime.now(timezone.utc).date().isoformat()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized model")
    parser.add_argument("--device", default="auto", help="an instruction set to hold the kernels to")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument(
        "--json",
        type=Path,
        default=HERE / "results" / f"{today}_native_layers.json",
        help="the record's place",
    )
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/native.md too")
    return parser.parse_args()


def measured_peaks(precisions: Sequence[str], threads: int, level: str) -> dict[str, float]:
    return {
        precision: round(product_peak(precision, threads=threads, level=level), 1) for precision in precisions
    }


def step_row(prepared: Prepared, layer: Layer, step: Any, ms: float) -> StepRow:
    kind, algorithm, dilation = (
        Kind(int(step[KIND_COLUMN])),
        Algorithm(int(step[ALGORITHM_COLUMN])),
        int(step[DILATION]),
    )
    (read, _, _), (written, height, width) = _tensor(prepared, step, SOURCE), _tensor(prepared, step, TARGET)
    macs = weights = 0
    if kind in CONVOLUTIONS:
        macs = read * written * _products(kind, algorithm, height, width, dilation)
        taps = 1 if kind is Kind.POINTWISE_CONVOLUTION else algorithm.factors
        weights = read * written * taps * WEIGHT_BYTES[layer.precision]
    return StepRow(
        name=layer.name,
        group=_group(kind, algorithm, dilation, height),
        precision=layer.precision,
        kernel=layer.kernel,
        height=height,
        ms=ms,
        macs=macs,
        weights_bytes=weights,
    )


def _tensor(prepared: Prepared, step: Any, column: int) -> tuple[int, int, int]:
    """(channels in memory, height, width) of one of a step's views."""
    buffer, _, count = (int(value) for value in step[column : column + 3])
    layout, _, height, width = (int(value) for value in prepared.buffers[buffer][:4])
    return count * (GROUP if layout == Layout.BLOCKED else 1), height, width


def _products(kind: Kind, algorithm: Algorithm, height: int, width: int, dilation: int) -> int:
    """For each pair of an input and an output channel."""
    if kind is Kind.POINTWISE_CONVOLUTION:
        return height * width
    if algorithm in STEPS:
        # Dilated: as many ordinary convolutions of every so many rows and columns.
        rows, columns = (math.ceil(math.ceil(side / dilation) / STEPS[algorithm]) for side in (height, width))
        return algorithm.factors * rows * columns * dilation**2
    reach = max(1, dilation)
    rows, columns = (side + 2 * max(0, side - reach) for side in (height, width))
    return rows * columns


def _group(kind: Kind, algorithm: Algorithm, dilation: int, height: int) -> str:
    if kind is Kind.CONVOLUTION:
        dilated = "dilated " if dilation > 1 else ""
        return f"3×3, {dilated}{NAMES[algorithm]}, {height}²"
    if kind is Kind.FIRST_CONVOLUTION:
        return "3×3 of the picture"
    if kind in (Kind.SIDE_CONVOLUTION, Kind.POINTWISE_CONVOLUTION):
        return "to logits"
    if kind is Kind.RESIZE:
        return "upsampling"
    return "pooling, adding, copies" if kind in (Kind.POOL, Kind.ADD, Kind.COPY) else "maps, and the picture"


def network_of(mode: str, profiled: Profiled, peaks: Mapping[str, float]) -> dict[str, Any]:
    """A record of all steps, in groups, and in all."""
    rows = profiled.rows()
    total_ms = sum(row.ms for row in rows)

    def summed(name: str, chosen: Sequence[StepRow]) -> dict[str, Any]:
        ms, macs = sum(row.ms for row in chosen), sum(row.macs for row in chosen)
        at_peak_ms = sum(row.macs / peaks[row.precision] / 1e6 for row in chosen)
        return {
            "group": name,
            "steps": len(chosen),
            "ms": round(ms, 3),
            "share": round(ms / total_ms, 4),
            "macs": macs,
            "gmac_per_s": round(macs / ms / 1e6, 1) if macs else None,
            "peak_share": round(at_peak_ms / ms, 3) if macs else None,
            "at_peak_ms": round(at_peak_ms, 3),
            "weights_mb": round(sum(row.weights_bytes for row in chosen) / 1e6, 1),
        }

    def where(holds: Callable[[StepRow], bool]) -> list[StepRow]:
        return [row for row in rows if holds(row)]

    groups = [summed(name, where(lambda row, name=name: row.group == name)) for name in _ordered(rows)]
    return {
        "mode": mode,
        "executed": profiled.precision,
        "groups": groups,
        "totals": [
            summed("convolutions, rectified", where(lambda row: row.group.startswith("3×3,"))),
            summed("the rest", where(lambda row: not row.group.startswith("3×3,"))),
            summed("all", rows),
        ],
        "whole_ms": round(float(np.median(np.stack(profiled.times_ms).sum(axis=1))), 2),
        "steps": [asdict(row) for row in rows],
    }


def _ordered(rows: Sequence[StepRow]) -> list[str]:
    """Convolutions first, kinds as they come, the largest pictures of each first."""
    kinds = list(dict.fromkeys(row.group.rpartition(", ")[0] or row.group for row in rows))
    sizes = {row.group: row.height for row in rows}
    return sorted(
        sizes,
        key=lambda name: (
            not name.startswith("3×3"),
            kinds.index(name.rpartition(", ")[0] or name),
            -sizes[name],
        ),
    )


def tables(record: Mapping[str, Any]) -> str:
    """One for each precision, in Markdown."""
    return "\n\n".join(_table(network, record) for network in record["networks"])


def _table(network: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    executed = network["executed"]
    peak = record["peaks_gmac_per_s"][executed]
    headings = ("steps", "ms", "of all", "GMAC", "GMAC/s", "of the peak", "ms at the peak", "weights, MB")
    rows = [
        (
            f"**{row['group']}**" if row in network["totals"] else row["group"],
            str(row["steps"]),
            f"{row['ms']:.1f}",
            f"{row['share']:.1%}",
            *(
                (
                    f"{row['macs'] / 1e9:.2f}",
                    f"{row['gmac_per_s']:.0f}",
                    f"{row['peak_share']:.0%}",
                    f"{row['at_peak_ms']:.1f}",
                    f"{row['weights_mb']:.1f}",
                )
                if row["macs"]
                else ("–",) * 5
            ),
        )
        for row in (*network["groups"], *network["totals"])
    ]
    found = table((f"{network['mode']}, {executed}", *headings), rows)
    return (
        f"{found}\n\n"
        f"Peak of the products: {peak:.0f} GMAC/s in {executed} ({record['threads']} threads, {record['level']}), "
        f"{record['peaks_gmac_per_s']['float32']:.0f} in float32; memory: {record['bandwidth_gb_per_s']:.0f} GB/s."
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
