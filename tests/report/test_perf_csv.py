"""The CSV of perf: every single figure, units in the columns' names, safe for spreadsheets."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

from perf_rows import HOSTILE, failed_row, perf_result, perf_row, steady

from u2forge.measure.perf_row import PerfRow
from u2forge.report.perf_csv import perf_csv


def read(*rows: PerfRow, **changes: object) -> list[dict[str, str]]:
    text = perf_csv(perf_result(rows, **changes))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_has_all_its_figures() -> None:
    (row,) = read(perf_row(warnings=("drift",)), warnings=("hot",))
    expected = {
        "date": "2026-11-25T09:00:00+00:00",
        "model": "u2net",
        "path": "/models/u2net.onnx",
        "scenario": "latency",
        "status": "complete",
        "precision": "force_float32",
        "executed": "float32",
        "engine_version": "2026.1.0",
        "options": "'--engine openvino --streams 1 --batch-size 1",
        "size_bytes": "176000000",
        "batch_size": "1",
        "iterations": "20",
        "wall_s": "2.0",
        "compute_s": "1.96",
        "throughput_pictures_per_s": "10.0",
        "latency_min_ms": "90.0",
        "latency_median_ms": "100.0",
        "latency_p99_ms": "109.8",
        "latency_variation": "0.060698",
        "host_to_device_mean_ms": "",
        "compute_p90_ms": "105.84",
        "opening_first_inference_ms": "130.0",
        "cpu_percent_mean": "190.0",
        "gpu_power_w_max": "",
        "warnings": "hot; drift",
    }
    assert {name: row[name] for name in expected} == expected


def test_failed_rows_have_their_reason_and_empty_figures() -> None:
    ran, failed = read(perf_row(), failed_row(reason="=no\nsuch"))
    assert (failed["status"], failed["reason"]) == ("failed", r"'=no\nsuch")
    assert failed["throughput_pictures_per_s"] == failed["latency_median_ms"] == ""
    assert ran.keys() == failed.keys()


def test_numbers_that_are_none_are_empty() -> None:
    (row,) = read(perf_row(throughput=math.nan, latency=replace(steady(1.0), max=math.inf)))
    assert row["throughput_pictures_per_s"] == row["latency_max_ms"] == ""


def test_stages_of_a_pipeline_have_columns() -> None:
    (row,) = read(perf_row(scenario="pipeline", phases={"decode": steady(5.0)}))
    assert row["decode_median_ms"] == "5.0"
    assert "enqueue_median_ms" not in row


def test_percentiles_of_any_row_have_columns() -> None:
    one = perf_row(latency=replace(steady(100.0), percentiles={99.9: 110.0}))
    first, second = read(one, perf_row())
    assert (first["latency_p99.9_ms"], second["latency_p99.9_ms"]) == ("110.0", "")


def test_hostile_names_stay_in_their_cell() -> None:
    row = perf_row(model=HOSTILE, name=HOSTILE, path=HOSTILE, warnings=(HOSTILE,))
    (found,) = read(row)
    for column in ("model", "name", "path", "warnings"):
        assert found[column].startswith("'=<script>")
        assert found[column].isprintable()
    assert perf_csv(perf_result([row])).encode()


def test_no_rows_at_all() -> None:
    assert perf_csv(perf_result([])).strip() == ""
