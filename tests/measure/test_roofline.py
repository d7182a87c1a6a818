"""The roofline: peaks of what an engine executed, of the fastest convolution; a failing probe is no figure at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from u2forge.engine.layer_time import LayerTime
from u2forge.engine.probe_model import ProbeShape
from u2forge.engine.registry import ENGINES
from u2forge.errors import EngineError
from u2forge.measure import roofline
from u2forge.measure.roofline import (
    Roofline,
    copied_bytes,
    measured_bandwidth,
    measured_peaks,
    roofline_of_this_machine,
)

MEASURED = [name for name, entry in ENGINES.items() if entry.installed and name != "native"]

# 100 x 100 channels on 10 x 10 pictures: a million multiply-accumulates.
SMALL = ProbeShape(channels=100, size=10, kernel=1)


@pytest.fixture
def small_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_probes", lambda threads: (ProbeShape(channels=16, size=16),))
    monkeypatch.setattr(roofline, "_INFERENCES", 2)


def answering(monkeypatch: pytest.MonkeyPatch, **layers: list[LayerTime] | EngineError) -> list[str]:
    """Profiles are made up, by engine; what is asked for is listed."""
    asked = []

    def profile(path: Path, *, engine: str, **options: Any) -> list[LayerTime]:
        asked.append(engine)
        found = layers.get(engine, [])
        if isinstance(found, EngineError):
            raise found
        return found

    monkeypatch.setattr(roofline, "profile_layers", profile)
    monkeypatch.setattr("u2forge.engine.engine_entry.find_module", lambda module: object())
    monkeypatch.setattr(roofline, "_probes", lambda threads: (SMALL, SMALL))
    return asked


def layer(precision: str, best_ms: float, operator: str = "Conv") -> LayerTime:
    return LayerTime("a", operator, "", precision, 10 * best_ms, best_ms)


def test_the_fastest_convolution_of_all_engines_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch,
        openvino=[layer("float32", 0.1), layer("float32", 0.02), layer("float32", 0.001, "Reorder")],
        onnxruntime=[layer("float32", 0.05)],
    )
    assert measured_peaks(["float32"], 2) == ({"float32": pytest.approx(50)}, [])


def test_what_was_not_executed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, openvino=[layer("float32", 0.1)])
    peaks, notes = measured_peaks(["float32", "bfloat16", "int8"], 2)
    assert set(peaks) == {"float32"}
    assert notes == [
        f"no peak in {name}: no installed engine computes in it here" for name in ("bfloat16", "int8")
    ]
    assert measured_peaks(["bfloat16"], 2)[0] == {}


def test_only_what_is_asked_for_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch)
    assert measured_peaks(["unknown"], 2)[0] == {}
    assert asked == []
    measured_peaks(["bfloat16", "float16"], 2)
    # One mode, and no second probe of an engine that has neither. Winograd's multiplications are fewer than counted.
    assert asked == [name for name in ENGINES if name not in ("native", "magicmind")]


def test_work_with_padding_does_not_count() -> None:
    assert ProbeShape(channels=2, size=5, kernel=1).macs == 100
    # Of three taps in each direction, the outer rows and columns have two within the picture.
    assert ProbeShape(channels=2, size=5, kernel=3).macs == 2 * 2 * 13 * 13


def test_more_threads_have_more_to_do() -> None:
    few, many = roofline._probes(2), roofline._probes(32)
    for small, large in zip(few, many, strict=True):
        assert large.macs / small.macs == pytest.approx(16, rel=0.1)


def test_an_engine_that_fails_leaves_the_others_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    error = EngineError(where="engine", expected="a graph", found="none", fix="build it")
    answering(monkeypatch, openvino=error, onnxruntime=[layer("float32", 0.1)])
    assert measured_peaks(["float32"], 2) == (
        {"float32": pytest.approx(10)},
        [f"no peak in float32 by openvino: {error}"],
    )


@pytest.mark.skipif(not MEASURED, reason="no engine with ordinary kernels is installed")
@pytest.mark.usefixtures("small_probes")
def test_installed_engines_run_the_probes() -> None:
    peaks, notes = measured_peaks(["float32", "int8"], 1)
    assert notes == []
    assert set(peaks) == {"float32", "int8"}
    assert all(peak > 0 for peak in peaks.values())


def test_copies_have_a_speed() -> None:
    assert measured_bandwidth(1, 2**20) > 0
    assert measured_bandwidth(2, 2**20) > 0
    assert measured_bandwidth(2, 0) > 0


@pytest.mark.parametrize(
    ("caches_mib", "memory_mib", "size_mib", "noted"),
    [
        (None, 64_000, 128, False),
        (8, 64_000, 128, False),
        # As of a server of 12 parts with 32 MiB each.
        (384, 64_000, 1536, False),
        (384, 8_000, 1000, True),
        (None, 512, 64, False),
    ],
)
def test_what_is_copied_fits_no_cache_and_leaves_memory(
    monkeypatch: pytest.MonkeyPatch, caches_mib: int | None, memory_mib: int, size_mib: int, noted: bool
) -> None:
    caches = None if caches_mib is None else caches_mib * 2**20
    monkeypatch.setattr(roofline, "last_level_cache_bytes", lambda: caches)
    monkeypatch.setattr(roofline, "available_memory_bytes", lambda: memory_mib * 2**20)
    size, notes = copied_bytes()
    assert size == size_mib * 2**20
    assert notes == (
        [
            "the memory's bandwidth may be partly that of the caches: of these there are 384 MiB, and there was room "
            "to copy 1000 MiB only"
        ]
        if noted
        else []
    )


def test_the_process_answers_in_its_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        roofline, "measured_peaks", lambda precisions, threads: ({"float32": 1.5 * threads}, ["a"])
    )
    monkeypatch.setattr(roofline, "copied_bytes", lambda: (2**20, ["b"]))
    monkeypatch.setattr(roofline, "measured_bandwidth", lambda threads, size: 3.0)
    roofline.main(json.dumps({"precisions": ["float32"], "threads": 2}))
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line) == {
        "peaks_gmac_per_s": {"float32": 3.0},
        "bandwidth_gb_per_s": 3.0,
        "notes": ["a", "b"],
    }


def test_a_process_of_its_own_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        values = {"peaks_gmac_per_s": {"int8": 4.0}, "bandwidth_gb_per_s": 2.0, "notes": ["a"]}
        said = f"a library says hello\n{json.dumps(values)}\n"
        return subprocess.CompletedProcess(command, 0, stdout=said, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    assert roofline_of_this_machine(["int8"], threads=1) == Roofline({"int8": 4.0}, 2.0, ("a",))
    assert commands == [
        [sys.executable, "-m", "u2forge.measure.roofline", '{"precisions": ["int8"], "threads": 1}']
    ]


def test_a_real_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found = roofline_of_this_machine([], threads=1)
    assert found.peaks_gmac_per_s == {}
    assert found.bandwidth_gb_per_s is not None
    assert found.bandwidth_gb_per_s > 0


def test_a_process_that_fails_gives_no_figures_but_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "no/such/python")
    found = roofline_of_this_machine(["float32"])
    assert (found.peaks_gmac_per_s, found.bandwidth_gb_per_s) == ({}, None)
    assert len(found.notes) == 1
    assert found.notes[0].startswith("nothing was measured of the processor: ")
    assert "no/such/python" in found.notes[0]


def test_a_process_that_hangs_gives_the_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, 120, stderr=b"warming up\nOpenVINO is thinking\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert roofline_of_this_machine(["float32"]).notes == (
        "nothing was measured of the processor: OpenVINO is thinking",
    )
