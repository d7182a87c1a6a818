"""The GPU's benchmark, tried on the processor: its rows, its check of the maps, its models, its table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import u2forge
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.summary import summarize

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (1, 2)
# Beside the reference: one of each group, and what is refused on a processor.
WANTED = ("eager float32", "float32, PyTorch", "float32, fused", "float32, engine", "8-bit")


def run_benchmark(*arguments: object, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "benchmarks" / "gpu.py")
    # The processor's threads would only wait for each other in so small a network.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *python, script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def quantized(tiny_checkpoint: Path, photos: Path) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime", reason="it calibrates the 8-bit model")
    path = tiny_checkpoint.with_name("gpu-8-bit.onnx")
    u2forge.build(
        tiny_checkpoint,
        out=path,
        input_height=64,
        input_width=96,
        batch_size="dynamic",
        precision="qint8_mixed_float32",
        calibration=photos,
        max_loss=None,
        engine="onnxruntime",
    )
    return path


@pytest.fixture(scope="module")
def record(quantized: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("gpu") / "record.json"
    inputs = ("--model", quantized, "--photos", photos, "--json", place, "--device", "cpu")
    sizes = ("--batches", *BATCHES, "--most-batch", 2, "--layers-batch", 1, "--folder-pictures", 7)
    done = run_benchmark(*inputs, *sizes, "--seconds", 0, "--turns", 2, "--only", *WANTED)
    assert done.returncode == 0, done.stderr
    assert "u2forge float32, fused steps" in done.stdout
    found: dict[str, Any] = json.loads(place.read_text())
    return found


@pytest.mark.needs_torch
@pytest.mark.needs_onnxruntime
def test_each_candidate_has_a_row_at_each_batch_size(record: dict[str, Any]) -> None:
    names = {
        "PyTorch eager float32",
        "u2forge float32, PyTorch's kernels",
        "u2forge tensorfloat32, PyTorch's kernels",
        "u2forge float32, fused steps",
        "u2forge float32, engine cuda",
        "u2forge tensorfloat32, engine cuda",
        "u2forge 8-bit file, engine cuda",
    }
    found = Counter((row["candidate"], row["batch_size"]) for row in record["rows"])
    assert found == Counter((name, batch) for name in names for batch in BATCHES)
    assert not record["interrupted"]
    assert record["notes"] == []


@pytest.mark.needs_torch
@pytest.mark.needs_onnxruntime
def test_rows_tell_figures_and_differences_or_a_reason(record: dict[str, Any]) -> None:
    for row in record["rows"]:
        if "tensorfloat32" in row["candidate"]:
            assert (row["status"], row["reason"]) == ("left out", "the processor has no tensorfloat32")
            continue
        assert row["status"] == "complete", row
        assert row["pictures_per_s"] > 0
        assert len(row["turns_pictures_per_s"]) == 2
        assert row["latency_p10_ms"] <= row["latency_ms"] <= row["latency_p90_ms"]
        assert row["mean_difference"] <= row["worst_picture"] <= row["worst_pixel"]
        if row["arithmetic"] == "float32":
            assert row["mean_difference"] <= 1e-4
        else:  # what rounds activations is in this one only
            assert row["mean_difference"] > 1e-4


@pytest.mark.needs_torch
@pytest.mark.needs_onnxruntime
def test_a_wrong_network_is_marked_as_failed(record: dict[str, Any]) -> None:
    control = record["control"]
    assert control["status"] == "failed"
    assert "differ from float32's by" in control["reason"]
    assert control["mean_difference"] > 1e-4
    assert "pictures_per_s" in control


@pytest.mark.needs_torch
@pytest.mark.needs_onnxruntime
def test_layers_and_folder_are_whole(record: dict[str, Any], quantized: Path) -> None:
    operators, steps = record["layers"]
    for found in (operators, steps):
        assert found["steps"] == sum(group["steps"] for group in found["by_kind"])
        assert found["total_ms"] == pytest.approx(
            sum(group["ms"] for group in found["by_channels"]), rel=0.02
        )
        times = [row["ms"] for row in found["longest"]]
        assert times == sorted(times, reverse=True)
    macs = summarize(read_onnx(quantized)).macs
    assert record["gflop"] == pytest.approx(2e-9 * macs, abs=1e-4)
    assert sum(group["gflop"] for group in operators["by_kind"]) == pytest.approx(record["gflop"], abs=0.1)
    folder = record["folder"]
    assert folder["done"] == folder["pictures"] == 7
    assert set(folder["pictures_per_s"]) == {"device", "decode", "encode", "whole"}
    assert folder["limited_by"] in ("device", "processor")
    assert "restored to float32" in record["weights"]


@pytest.mark.needs_torch
@pytest.mark.needs_onnxruntime
@pytest.mark.usefixtures("scripts")
def test_float_models_have_the_weights_of_an_8_bit_file(quantized: Path, tmp_path: Path) -> None:
    from gpu_models import measured_models

    models = measured_models(quantized, None, tmp_path)
    given = read_onnx(quantized)
    assert models.quantized is not None
    assert models.quantized.path == quantized
    assert {name: file.manifest.precision for name, file in models.files.items()} == {
        "float32": "force_float32",
        "float16": "force_float16",
    }
    for file in models.files.values():
        graph = read_onnx(file.path)
        kinds = Counter(node.op_type for node in graph.graph)
        assert not {"QuantizeLinear", "DequantizeLinear", "Cast"} & set(kinds)
        assert kinds["Conv"] == Counter(node.op_type for node in given.graph)["Conv"]
    restored = {
        node.name: node
        for node in given.graph
        if node.op_type == "DequantizeLinear" and "weight" in str(node.name)
    }
    assert restored
    convolutions = {node.name: node for node in models.graph.graph if node.op_type == "Conv"}
    for node in given.graph:
        below = node.inputs[1].producer() if node.op_type == "Conv" and node.inputs[1] is not None else None
        if below is None:
            continue
        stored, scale, zero_point = (
            value.const_value.numpy()
            for value in below.inputs
            if value is not None and value.const_value is not None
        )
        lies = (-1, 1, 1, 1) if scale.size > 1 else ()
        expected = (stored.astype(np.float32) - zero_point.reshape(lies)) * scale.reshape(lies)
        found = convolutions[node.name].inputs[1]
        assert found is not None
        assert found.const_value is not None
        np.testing.assert_array_equal(found.const_value.numpy(), expected)


def test_missing_packages_are_one_clear_error() -> None:
    done = run_benchmark("--model", "a", "--photos", "b", "--json", "c.json", python=["-S"])
    assert done.returncode == 1
    assert done.stderr.startswith("missing packages: run `pip install torch numpy onnx")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.needs_torch
def test_a_gpu_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run_benchmark("--model", "a", "--photos", "b", "--json", tmp_path / "c.json")
    assert done.returncode == 1
    assert "--device cuda:0" in done.stderr
    assert not (tmp_path / "c.json").exists()


def row(batch: int, pictures_per_s: float | None, **others: object) -> dict[str, Any]:
    found = {
        "candidate": "one",
        "batch_size": batch,
        "status": "complete",
        "reason": "",
        "mean_difference": 1e-5,
    }
    if pictures_per_s is not None:
        found |= {
            "pictures_per_s": pictures_per_s,
            "latency_ms": 1000 * batch / pictures_per_s,
            "share_of_limit": 0.5,
        }
    return found | others


@pytest.mark.usefixtures("scripts")
def test_a_larger_batch_is_tried_while_it_gains() -> None:
    from gpu_best_batch import is_rising

    assert is_rising("one", [row(1, 100.0)])
    assert is_rising("one", [row(1, 100.0), row(2, 104.0)])
    assert not is_rising("one", [row(1, 100.0), row(2, 102.0)])
    assert not is_rising("one", [row(1, 100.0), row(2, 104.0, status="failed")])
    assert not is_rising("one", [row(1, None, status="left out")])
    assert not is_rising("another", [row(1, 100.0)])


@pytest.mark.usefixtures("scripts")
def test_the_table_hides_no_failure() -> None:
    from gpu_document import network_table

    reason = "its maps differ from float32's by 0.002 on average, more than 0.001"
    rows = [
        row(1, 100.0),
        row(8, 400.0),
        row(16, 500.0),
        row(1, 300.0, candidate="wrong", status="failed", reason=reason),
        row(8, None, candidate="missing", status="left out", reason="no time left"),
    ]
    record = {"batches": [1, 8], "rows": rows, "control": {"status": "failed"}}
    text = network_table(record)
    assert "| one | 10.00 | 100.0 | 400.0 | 500.0 (16) | 50.0% |" in text
    assert "| wrong **failed** |" in text
    assert f"- failed: wrong, batch 1: {reason}" in text
    assert "- left out: missing, batch 8: no time left" in text
    assert "blind" not in text
    assert "blind" in network_table(record | {"control": {"status": "complete"}})


@pytest.mark.usefixtures("scripts")
def test_a_step_that_takes_too_long_is_interrupted() -> None:
    time: ModuleType = pytest.importorskip("gpu_time")
    if not hasattr(signal, "SIGALRM"):
        pytest.skip("no alarms on this system")
    with pytest.raises(time.TimeLimitError, match="a loop took longer"), time.seconds_limit(0.01, "a loop"):
        while True:
            pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.needs_torch
@pytest.mark.usefixtures("scripts")
def test_maps_that_are_no_numbers_are_no_agreement() -> None:
    pytest.importorskip("torch")
    from gpu_accuracy import differences, verdict

    reference = [np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)]
    assert verdict(differences([(0, reference[0])], reference), 1e-4) == ""
    assert "differ" in verdict(differences([(0, reference[0] ** 2)], reference), 1e-4)
    broken = reference[0].copy()
    broken[0, 0] = np.nan
    assert "NaN" in verdict(differences([(0, broken)], reference), None)


@pytest.mark.needs_torch
@pytest.mark.usefixtures("scripts")
def test_captured_networks_share_memory_while_one_of_them_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    import gpu_opened

    class Graph:
        def replay(self) -> None:
            replayed.append(self)

    @contextmanager
    def captures(graph: Graph, device: Any, pool: int) -> Iterator[None]:
        used.append(pool)
        yield

    used: list[int] = []
    replayed: list[Graph] = []
    handles = iter(range(9))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(gpu_opened, "captured_in", captures)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    memory = gpu_opened.CaptureMemory(torch.device("cuda:0"))
    result = torch.ones(1)
    first = memory.captured(lambda: result, nullcontext)
    second = memory.captured(lambda: result, nullcontext)
    assert first() is second() is result
    assert len(replayed) == 2
    replayed.clear()
    assert used == [0, 0]

    def network() -> Any:
        return result

    kept = weakref.ref(network)
    captured = memory.captured(network, nullcontext)
    del network
    # A graph reads memory that only what was captured holds.
    assert kept() is not None
    del first, second, captured
    assert kept() is None
    third = memory.captured(lambda: result, nullcontext)
    assert used == [0, 0, 0, 1]
    with pytest.raises(RuntimeError, match="no kernel"):
        memory.captured(broken_at(4, result), nullcontext)
    fourth = memory.captured(lambda: result, nullcontext)
    assert used == [0, 0, 0, 1, 1, 2]
    assert third() is fourth()


def broken_at(call: int, result: Any) -> Any:
    """What fails at its `call`th time: the fourth is the captured one."""
    calls = iter(range(1, 9))

    def run() -> Any:
        if next(calls) == call:
            raise RuntimeError("no kernel")
        return result

    return run
