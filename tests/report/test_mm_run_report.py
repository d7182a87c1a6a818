"""mm_run's report: its sections in order, its labels, and the parsers of it that are out there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from u2forge.measure.perf_row import PerfResult, PerfRow, TensorInfo
from u2forge.measure.spread import spread_of
from u2forge.report.mm_run_report import mm_run_report, parameter_section

PERCENTILES = (90.0, 95.0, 99.0)
SPREAD = spread_of([28.0, 29.0, 30.0, 31.0, 33.5], PERCENTILES)
ROW = PerfRow(
    model="u2netp.onnx",
    path="u2netp.onnx",
    scenario="latency",
    status="complete",
    name="u2netp",
    size_bytes=4_574_321,
    precision="force_float16",
    executed="bfloat16",
    engine="openvino",
    engine_version="2026.1.0",
    device="CPU",
    device_name="A processor",
    batch_size=2,
    threads=2,
    inputs=(TensorInfo("image", "float32", "NCHW", (2, 3, 320, 320), 2_457_600),),
    outputs=(TensorInfo("d0", "float32", "NCHW", (2, 1, 320, 320), 819_200),),
    opening_ms={
        "import": 210.123,
        "model": 12.5,
        "engine": 340.0,
        "contexts": 0.25,
        "first_inference": 41.0,
        "warm_up": 201.33,
    },
    iterations=250,
    wall_s=7.5,
    compute_s=7.1234567,
    throughput=66.666666,
    latency=SPREAD,
    phases={"enqueue": SPREAD, "host_to_device": SPREAD, "compute": SPREAD, "device_to_host": None},
    per_hundred=(
        {"latency": 30.0, "compute": 28.5, "enqueue": 0.0525},
        {"latency": 31.0, "compute": 29.5, "enqueue": 0.0531},
        {"latency": 32.0, "compute": 30.5, "enqueue": 0.0542},
    ),
    utilization={
        "cpu_percent": spread_of([180.0, 199.0]),
        "memory_mb": spread_of([512.0]),
        "gpu_percent": spread_of([3.0]),
        "gpu_memory_mb": spread_of([800.0]),
        "gpu_power_w": spread_of([35.0]),
        "gpu_temperature_c": None,
    },
)


def report(row: PerfRow = ROW, machine: Mapping[str, object] | None = None) -> str:
    result = PerfResult(
        rows=(row,), scenario="latency", parameters={}, machine=machine or {}, versions={}, date=""
    )
    return mm_run_report(result)


def value(text: str, label: str) -> str:
    (found,) = re.findall(rf"^{re.escape(label)}:\s*(.*)$", text, re.MULTILINE)
    return str(found)


def test_the_sections_stand_in_mm_runs_order() -> None:
    text = report()
    landmarks = [
        "DeserializeModel time is 12.5 ms.",
        "CreateEngine 0 time is 340 ms.",
        "CreateContext time is 0.25 ms.",
        "FirstInference time is 41 ms.",
        "warmup_dev_0_thread_0 time is 201.33 ms.",
        "=================== Device Information",
        "=================== Model Information",
        "=================== Device Utilization Summary",
        "=================== Performance Summary",
        "Iterations:",
        "Host Wall Time (s):",
        "MLU Compute Time (s):",
        "Throughput (qps):",
        "Enqueue Time (ms):",
        "H2D Latency (ms):",
        "MLU Compute Latency (ms):",
        "D2H Latency (ms):",
        "Trace average MLU Compute perf over 100 runs:",
    ]
    places = [text.index(f"\n{landmark}") for landmark in landmarks]
    assert places == sorted(places)


def test_the_parameters_look_as_mm_runs() -> None:
    lines = parameter_section({"magicmind_model<Str>": "u2netp.onnx", "run_config<Str>": ""}).splitlines()
    assert "no MLU is used" in lines[0]
    assert lines[1] == "=================== Parameter Information"
    assert lines[2] == "--magicmind_model<Str>        : u2netp.onnx"
    assert lines[3] == "--run_config<Str>             :"


def test_the_summary_has_the_rows_figures() -> None:
    text = report()
    assert value(text, "Iterations") == "250"
    assert value(text, "Host Wall Time (s)") == "7.5"
    assert value(text, "MLU Compute Time (s)") == "7.12346"
    assert value(text, "MLU Compute Latency (ms)") == (
        "min: 28         max: 33.5       mean: 30.3       median: 30         "
        "percentile: (90%) 32.5       (95%) 33         (99%) 33.4"
    )
    assert value(text, "D2H Latency (ms)") == "not available"


def test_what_compare_scripts_read_of_the_throughput_is_a_number() -> None:
    """They take every line with the label, and what is behind its first colon."""
    (line,) = [line for line in report().splitlines() if "Throughput (qps)" in line]
    assert float(line.split(":")[1].strip()) == 66.6667


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="no bash here")
def test_what_perf_scripts_cut_out_of_the_throughput_is_the_number_alone() -> None:
    script = 'fps=`grep "Throughput (qps):"`; fps=`eval echo "${fps:18}"`; printf "%s" "$fps"'
    answer = subprocess.run(
        ["/bin/bash", "-c", script], input=report(), capture_output=True, text=True, check=True
    )
    assert answer.stdout == "66.6667"


def test_the_model_section_lists_every_tensor() -> None:
    text = report()
    assert "\nSize:     4574321\nInput num: 1\nOutput num: 1\nInput info [\n" in text
    assert "\nimage               : [2, 3, 320, 320], FLOAT, NCHW, 2457600 bytes\n]\nOutput info [\n" in text


def test_the_device_is_said_to_be_no_mlu() -> None:
    machine = {"memory_gib": 15.6, "processors_usable": 2}
    text = report(machine=machine)
    assert value(text, "Device") == "CPU, no MLU"
    assert value(text, "Engine") == "openvino 2026.1.0"
    assert value(text, "Precision") == "force_float16, executed in bfloat16"
    assert value(text, "Total Memory Size") == "15974 (MB)"
    assert value(text, "Processors Usable") == "2"
    assert value(report(replace(ROW, streams=4)), "Streams") == "4"
    assert value(text, "MLU Core Clock Rate") == "not available"
    assert value(report(), "Total Memory Size") == "not available"
    # The machine's memory is not the GPU's.
    assert value(report(replace(ROW, device="GPU"), machine), "Total Memory Size") == "not available"


def test_a_processor_is_not_given_the_power_of_a_gpu_beside_it() -> None:
    text = report()
    assert value(text, "chip_util(%)") == ("min: 180        max: 199        mean: 189.5      median: 189.5")
    assert value(text, "mem_util(MB)").startswith("min: 512 ")
    assert value(text, "power_util(W)") == "not available"
    assert value(text, "temp_util(C)") == "not available"


def test_a_gpu_has_its_own_figures_and_the_hosts() -> None:
    for device in ("cuda", "tensorrt", "cuda:0", "tensorrt:1", "cuda:1/bfloat16"):
        text = report(replace(ROW, device=device))
        assert value(text, "chip_util(%)").startswith("min: 3 ")
        assert value(text, "mem_util(MB)").startswith("min: 800 ")
        assert value(text, "power_util(W)").startswith("min: 35 ")
        assert value(text, "temp_util(C)") == "not available"
        assert value(text, "host_util(%)").startswith("min: 180 ")


@pytest.mark.parametrize("device", ["GPU.0", "GPU", "NPU", "directml", "coreml"])
def test_another_device_is_not_given_the_figures_of_a_gpu_beside_it(device: str) -> None:
    text = report(replace(ROW, device=device))
    for label in ("chip_util(%)", "mem_util(MB)", "power_util(W)", "temp_util(C)"):
        assert value(text, label) == "not available"
    assert value(text, "host_util(%)").startswith("min: 180 ")
    assert value(text, "host_mem_util(MB)").startswith("min: 512 ")


def test_averages_say_where_the_last_is_of_fewer_runs() -> None:
    lines = report().splitlines()[-3:]
    assert lines[0].startswith("  Latency(host clock, ms): 28.5        Interface Duration(ms): 0.0525  ")
    assert lines[0].endswith("Whole(ms): 30")
    assert lines[2].endswith("(50 runs)")


def test_what_an_engine_does_not_tell_is_not_guessed() -> None:
    bare = replace(
        ROW, opening_ms={}, phases={}, utilization={}, compute_s=None, per_hundred=({"latency": 30.0},)
    )
    text = report(bare)
    assert "CreateEngine 0 time is not available." in text
    for label in ("MLU Compute Time (s)", "Enqueue Time (ms)", "MLU Compute Latency (ms)", "chip_util(%)"):
        assert value(text, label) == "not available"
    assert "Latency(host clock, ms): not available" in text
    assert value(text, "Total Latency (ms)").startswith("min: 28 ")


def test_a_partial_result_says_so() -> None:
    assert value(report(replace(ROW, status="partial")), "Status") == "partial: interrupted"
    text = report(replace(ROW, status="partial", reason="out of memory"))
    assert value(text, "Status") == "partial: out of memory"
    assert "\nStatus:" not in report()


def test_several_threads_warm_up_together() -> None:
    assert "\nwarmup_dev_0 time is 201.33 ms.\n" in report(replace(ROW, streams=2))


@pytest.mark.parametrize(
    ("number", "text"),
    [(123456.7, "123457"), (999999.7, "1000000"), (12345678.0, "12345678"), (0.25, "0.25")],
)
def test_large_numbers_have_no_exponent(number: float, text: str) -> None:
    assert value(report(replace(ROW, throughput=number)), "Throughput (qps)") == text
