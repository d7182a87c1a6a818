"""The processor's roofline, measured: multiply-accumulates a second by precision, and bytes a second of its memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from u2forge.engine.layer_time import LayerTime
from u2forge.engine.probe_model import ProbeShape, write_probe_model
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import ENGINES, profile_layers
from u2forge.errors import U2ForgeError
from u2forge.measure.machine import available_memory_bytes, last_level_cache_bytes
from u2forge.precision import PrecisionMode

# The mode in which an engine takes each precision, where the processor has it.
_MODES: dict[str, PrecisionMode] = {
    "float32": "force_float32",
    "bfloat16": "force_float16",
    "float16": "force_float16",
    "int8": "qint8_mixed_float32",
}
# Their kernels multiply less often than a convolution is counted: their times say nothing about the processor's peak.
_FEWER_PRODUCTS = {"native"}
_INFERENCES = 20
# Of each of the two arrays that are copied: at least so much, so many times what all caches hold, and together no
# more than a quarter of the available memory.
_LEAST_BYTES = 128 * 2**20
_TIMES_CACHES = 4
_MEMORY_SHARE = 1 / 4
_COPIES = 5
_SECONDS = 120


@dataclass(frozen=True)
class Roofline:
    """peaks_gmac_per_s: by precision; bandwidth_gb_per_s: read and written together. None, or missing: not measured.
    notes: why something was not measured, or is not what it should be; sentences without their full stop."""

    peaks_gmac_per_s: Mapping[str, float]
    bandwidth_gb_per_s: float | None
    notes: tuple[str, ...] = ()


def roofline_of_this_machine(precisions: Sequence[str], *, threads: int | None = None) -> Roofline:
    """The roofline, measured in a process of its own, which takes the engines' threads and memory with it.

    Empty but for the reason, where that process fails.
    """
    request = json.dumps({"precisions": list(precisions), "threads": threads})
    command = [sys.executable, "-m", "u2forge.measure.roofline", request]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
        values = json.loads(done.stdout.splitlines()[-1])
        return Roofline(**{**values, "notes": tuple(values["notes"])})
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        said = getattr(error, "stderr", None) or str(error)
        lines = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        last = (lines.strip().splitlines() or [type(error).__name__])[-1]
        return Roofline({}, None, (f"nothing was measured of the processor: {last[:300]}",))


def measured_peaks(precisions: Iterable[str], threads: int) -> tuple[dict[str, float], list[str]]:
    """GMAC/s by precision: the fastest single convolution of all probes and of all installed engines; and why one is
    missing, or one engine has no part in it.

    One that the processor does not have is left out: what counts is the precision that an engine executed. The
    shortest time, and no mean: another load makes times longer, and never shorter.
    """
    wanted = set(precisions)
    modes = dict.fromkeys(mode for precision, mode in _MODES.items() if precision in wanted)
    engines = [
        name
        for name, entry in ENGINES.items()
        if entry.installed and entry.target == "portable" and name not in _FEWER_PRODUCTS
    ]
    peaks: dict[str, float] = {}
    notes: list[str] = []
    for mode, engine in product(modes, engines):
        meant = {precision for precision in wanted if _MODES.get(precision) == mode}
        for probe in _probes(threads):
            try:
                layers = _probe_layers(probe, mode, engine, threads)
            except U2ForgeError as error:
                notes.append(f"no peak in {_listed(meant)} by {engine}: {error}")
                break
            for layer in layers:
                if layer.precision in wanted and layer.best_ms:
                    speed = probe.macs / layer.best_ms / 1e6
                    peaks[layer.precision] = max(peaks.get(layer.precision, 0.0), speed)
            if not any(layer.precision in meant for layer in layers):
                break
    notes += [
        f"no peak in {precision}: no installed engine computes in it here"
        for precision in sorted(wanted - set(peaks))
    ]
    return peaks, notes


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _probes(threads: int) -> tuple[ProbeShape, ...]:
    """Of all shapes tried on two processors, those that came nearest to what their instructions can do, in about 1 ms:
    float32 and bfloat16 by the second, int8 by the first. The same work for each thread where there are more."""
    scale = (threads / 2) ** 0.5
    return (
        ProbeShape(channels=64, size=8 * math.ceil(8 * scale), layers=4),
        ProbeShape(channels=512, size=8 * math.ceil(4 * scale), kernel=1, layers=4),
    )


def _probe_layers(probe: ProbeShape, mode: PrecisionMode, engine: str, threads: int) -> list[LayerTime]:
    """The convolutions of a probe. Raises as profile_layers does."""
    inputs = {
        "image": np.random.default_rng(0).random((1, probe.channels, probe.size, probe.size), np.float32)
    }
    with tempfile.TemporaryDirectory(prefix="u2forge-peak-") as folder:
        path = Path(folder) / "probe.onnx"
        write_probe_model(path, mode, probe=probe)
        options = EngineOptions(device="cpu", threads=threads)
        layers = profile_layers(path, engine=engine, options=options, inputs=inputs, inferences=_INFERENCES)
    return [layer for layer in layers if layer.is_convolution]


def copied_bytes() -> tuple[int, list[str]]:
    """Of an array that no cache holds, as far as there is memory for two of them; and a note where there is not."""
    caches = last_level_cache_bytes() or 0
    most = int(available_memory_bytes() * _MEMORY_SHARE / 2)
    size = min(max(_LEAST_BYTES, _TIMES_CACHES * caches), most)
    if size >= _TIMES_CACHES * caches:
        return size, []
    return size, [
        f"the memory's bandwidth may be partly that of the caches: of these there are {caches / 2**20:.0f} MiB, and "
        f"there was room to copy {size / 2**20:.0f} MiB only"
    ]


def measured_bandwidth(threads: int, size: int) -> float:
    """GB/s, read and written bytes together, of copies between two arrays of so many bytes; the fastest one."""
    count = max(1, size // 8 // threads)
    pairs = [(np.ones(count), np.zeros(count)) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_COPIES):
            start = time.perf_counter()
            # numpy lets the other threads run while it copies.
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            best = max(best, 2 * 8 * count * threads / (time.perf_counter() - start))
    return best / 1e9


def main(request: str) -> None:
    """Writes the roofline that the request, in JSON, asks for to standard output, in its last line."""
    wanted = json.loads(request)
    threads = wanted["threads"] or usable_processors()
    peaks, notes = measured_peaks(wanted["precisions"], threads)
    size, cut = copied_bytes()
    roofline = Roofline(peaks, measured_bandwidth(threads, size), (*notes, *cut))
    sys.stdout.write(f"\n{json.dumps(asdict(roofline))}\n")


if __name__ == "__main__":
    main(sys.argv[1])
