"""What the GPU draws, runs at and holds meanwhile: by NVML, or by nvidia-smi where that is missing."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import torch

from u2forge.measure.nvidia_gpu import open_nvidia_gpu

_PERIOD_S = 0.1
_FIELDS = {
    "gpu_power_w": "power.draw",
    "gpu_clock_mhz": "clocks.sm",
    "gpu_temperature_c": "temperature.gpu",
    "gpu_percent": "utilization.gpu",
    "gpu_memory_mb": "memory.used",
}
Sample = Mapping[str, float]


class GpuState:
    """Samples in a thread of its own, as long as it is open. source: what told them; empty where nothing does."""

    def __init__(self, device: torch.device) -> None:
        self.samples: list[tuple[float, Sample]] = []
        self.source, read = _source(device)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, args=(read,), daemon=True)
        self._thread.start()

    def between(self, spans: list[tuple[float, float]]) -> dict[str, float]:
        """Medians of the samples within these spans of time.perf_counter()."""
        within = [
            sample for at, sample in list(self.samples) if any(start <= at <= end for start, end in spans)
        ]
        names = dict.fromkeys(name for sample in within for name in sample)
        return {name: round(median(sample[name] for sample in within if name in sample), 1) for name in names}

    def close(self) -> None:
        """Ends it."""
        self._ended.set()
        self._thread.join(1)

    def _sample(self, read: Iterator[Sample]) -> None:
        for sample in read:
            self.samples.append((time.perf_counter(), sample))
            if self._ended.wait(_PERIOD_S if self.source == "NVML" else 0):
                return


def _source(device: torch.device) -> tuple[str, Iterator[Sample]]:
    if device.type != "cuda":
        return "", iter(())
    try:
        gpu = open_nvidia_gpu(str(device))
    except Exception:  # a driver's library may raise anything; figures of power are not worth the run
        gpu = None
    if gpu is not None:
        return "NVML", _of_nvml(gpu.read, device)
    program = shutil.which("nvidia-smi")
    return ("nvidia-smi", _of_program(program)) if program else ("", iter(()))


def _of_nvml(read: Callable[[], Mapping[str, float | None]], device: torch.device) -> Iterator[Sample]:
    while True:
        sample = {name: value for name, value in read().items() if value is not None}
        try:
            sample["gpu_clock_mhz"] = float(torch.cuda.clock_rate(device))
        except Exception:  # of an older PyTorch, or without the package
            pass
        yield sample


def _of_program(program: str) -> Iterator[Sample]:
    """Of the first GPU, ten times a second."""
    query = f"--query-gpu={','.join(_FIELDS.values())}"
    command = [program, "--id=0", query, "--format=csv,noheader,nounits", f"-lms={int(_PERIOD_S * 1000)}"]
    if shutil.which("stdbuf"):  # each line as it comes
        command = ["stdbuf", "-oL", *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            sample = {}
            for name, text in zip(_FIELDS, line.split(","), strict=False):
                try:
                    sample[name] = float(text)
                except ValueError:  # [N/A]
                    continue
            yield sample
    finally:
        process.kill()
