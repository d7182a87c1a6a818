"""perf: rows that are true to what ran, files, and every way it can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import u2forge
from u2forge.cli import main as cli
from u2forge.engine import engine_entry, native_engine
from u2forge.engine.registry import ENGINES
from u2forge.errors import EngineError, InputError, MissingDependencyError, ModelError, OutputError
from u2forge.measure import interleave
from u2forge.measure.candidate import Candidate
from u2forge.measure.interleave import TurnLog, run_interleaved
from u2forge.measure.perf_row import PHASES, UTILIZATION, PerfResult
from u2forge.native.refusal import UnsupportedGraphError
from u2forge.pipeline.picture_report import STAGES
from u2forge.verbs import perf as perf_verb
from u2forge.verbs import perf_results, perf_workers
from u2forge.verbs.perf_candidates import Wanted, described_options, make_candidates

QUICK: dict[str, Any] = {"iterations": 4, "duration": 0.05, "warmup": 0.0}


@pytest.fixture(scope="session")
def any_batch(tiny_checkpoint: Path) -> Path:
    """The tiny network for any batch."""
    path = tiny_checkpoint.with_name("any-batch.onnx")
    u2forge.build(tiny_checkpoint, out=path, input_height=32, input_width=32, batch_size="dynamic")
    return path


@pytest.fixture
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about how well the best variant is told from the others."""
    monkeypatch.setattr(perf_workers, "_SEARCH_SECONDS", 0.05)


@pytest.fixture
def broken(tiny_model: Path, tmp_path: Path) -> Path:
    """A model file of which one byte of the weights is not what was written."""
    data = bytearray(tiny_model.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    return path


def test_a_row_says_what_ran_and_how_long_it_took(tiny_model: Path) -> None:
    result = u2forge.perf(tiny_model, engine="openvino", threads=[1], percentiles=[90, 50], **QUICK)
    assert result.complete
    (row,) = result.rows
    assert (row.status, row.reason) == ("complete", "")
    assert (row.name, row.precision, row.executed) == ("tiny", "force_float32", "float32")
    assert (row.engine, row.device, row.batch_size, row.threads, row.streams) == ("openvino", "CPU", 1, 1, 1)
    assert row.size_bytes == tiny_model.stat().st_size
    assert [(one.name, one.shape, one.bytes) for one in row.inputs] == [
        ("image", (1, 3, 64, 96), 3 * 64 * 96 * 4)
    ]
    assert [(one.name, one.shape, one.bytes) for one in row.outputs] == [("d0", (1, 1, 64, 96), 64 * 96 * 4)]
    assert set(row.opening_ms) == {"import", "model", "engine", "contexts", "first_inference", "warm_up"}
    assert min(row.opening_ms.values()) > 0
    assert row.iterations >= 4
    assert row.wall_s >= 0.05
    assert row.throughput == pytest.approx(row.iterations / row.wall_s)
    assert row.latency is not None
    assert row.latency.count == row.iterations
    assert list(row.latency.percentiles) == [50, 90]
    assert list(row.phases) == list(PHASES)
    parts = [spread.mean for spread in row.phases.values() if spread is not None]
    assert len(parts) == 4
    assert sum(parts) == pytest.approx(row.latency.mean, rel=0.3)
    assert row.compute_s is not None
    assert 0 < row.compute_s < row.wall_s
    assert len(row.turn_medians) == len(row.turn_times) >= 1
    assert row.turn_times[0] >= row.turn_medians[0] * 0.5
    assert row.per_hundred[0]["latency"] > 0
    assert set(row.utilization) == set(UTILIZATION)
    assert row.options == "--engine openvino --streams 1 --batch-size 1 --threads 1"
    assert result.parameters == {
        "iterations": 4,
        "duration_s": 0.05,
        "warmup_ms": 0.0,
        "percentiles": [50, 90],
    }


def test_means_of_every_hundred(tiny_model: Path) -> None:
    (row,) = u2forge.perf(tiny_model, iterations=230, duration=0, warmup=0).rows
    assert row.latency is not None
    assert len(row.per_hundred) == -(-row.iterations // 100)
    whole = sum(means["latency"] for means in row.per_hundred[:2]) / 2
    assert row.latency.min < whole < row.latency.max


def test_the_whole_cross_product_in_order(any_batch: Path, tiny_model: Path) -> None:
    result = u2forge.perf(
        [tiny_model, any_batch], engine=["openvino", "onnxruntime"], threads=[1, 2], **QUICK
    )
    found = [(Path(row.path).name, row.engine, row.threads) for row in result.rows]
    assert found == [
        (name, engine, threads)
        for name in ("tiny.onnx", "any-batch.onnx")
        for engine in ("openvino", "onnxruntime")
        for threads in (1, 2)
    ]
    assert {row.status for row in result.rows} == {"complete"}


def test_batches_of_a_model_that_takes_any(any_batch: Path) -> None:
    rows = u2forge.perf(any_batch, batch_size=[1, 3], **QUICK).rows
    assert [row.batch_size for row in rows] == [1, 3]
    assert rows[1].inputs[0].shape == (3, 3, 32, 32)
    assert rows[1].throughput == pytest.approx(3 * rows[1].iterations / rows[1].wall_s)


def test_streams_run_side_by_side(tiny_model: Path) -> None:
    one, two = u2forge.perf(tiny_model, engine="openvino", threads=[2], streams=[1, 2], **QUICK).rows
    assert (one.streams, two.streams) == (1, 2)
    assert two.iterations % 2 == 0


def test_more_streams_than_threads_are_said(tiny_model: Path) -> None:
    (row,) = u2forge.perf(tiny_model, engine="onnxruntime", threads=[1], streams=[3], **QUICK).rows
    assert row.streams == 1
    assert "3 streams asked for, 1 run: no more than threads on a processor" in row.warnings


def test_pictures_as_input(tiny_model: Path, photos: Path) -> None:
    (row,) = u2forge.perf(tiny_model, input=photos, **QUICK).rows
    assert row.status == "complete"


def test_the_pipeline_from_encoded_to_encoded(tiny_model: Path, photos: Path) -> None:
    (row,) = u2forge.perf(tiny_model, scenario="pipeline", input=photos, **QUICK).rows
    assert row.iterations >= 4
    assert row.throughput == pytest.approx(row.iterations / row.wall_s)
    assert list(row.phases) == list(STAGES)
    encode = row.phases["encode"]
    assert encode is not None
    assert encode.mean > 0


def test_a_picture_that_cannot_be_read(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    for scenario in ("latency", "pipeline"):
        with pytest.raises(ValueError, match=r"no\.png"):
            u2forge.perf(tiny_model, scenario=scenario, input=tmp_path / "no.png", **QUICK)  # type: ignore[arg-type]


@pytest.mark.usefixtures("short_search")
def test_the_best_of_streams_and_batches_is_sought(any_batch: Path) -> None:
    steps: list[str] = []
    (row,) = u2forge.perf(
        any_batch,
        scenario="throughput",
        engine="openvino",
        threads=[2],
        batch_size=[1, 2],
        on_step=steps.append,
        **QUICK,
    ).rows
    assert [one["options"] for one in row.searched] == [
        f"--engine openvino --streams {streams} --batch-size {batch} --threads 2"
        for batch in (1, 2)
        for streams in (1, 2)
    ]
    best = max(row.searched, key=lambda one: one["throughput"])
    assert row.options == best["options"]
    assert sum(step.startswith("trying ") for step in steps) == 4


def test_the_options_name_what_is_not_the_default() -> None:
    candidate = Candidate("m", "m.onnx", engine="openvino", device="GPU", batch_size=4, threads=3, streams=2)
    assert described_options(candidate) == (
        "--engine openvino --device GPU --streams 2 --batch-size 4 --threads 3"
    )


def test_layers_by_the_engines_own_profiler(tiny_model: Path) -> None:
    for row in u2forge.perf(tiny_model, engine=["openvino", "onnxruntime"], profile=True, **QUICK).rows:
        assert row.layers is not None
        assert row.layers.total_ms > 0
        assert sum(layer.share for layer in row.layers.layers) == pytest.approx(1)
        assert {"stage1", "stage6", "outconv"} <= {one.group for one in row.layers.stages}


def test_a_profile_that_fails_loses_no_times(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(candidate: object) -> None:
        raise EngineError(where="here", expected="layers", found="none", fix="go on")

    monkeypatch.setattr(perf_verb, "profiled", fails)
    (row,) = u2forge.perf(tiny_model, profile=True, **QUICK).rows
    assert row.status == "complete"
    assert row.layers is None
    assert "not profiled: here: expected layers; found none. To mend: go on." in row.warnings


def test_files_are_written_and_the_json_is_the_result(tiny_model: Path, tmp_path: Path) -> None:
    places = {kind: tmp_path / f"result.{kind}" for kind in ("json", "csv", "html")}
    result = u2forge.perf(tiny_model, **QUICK, **places)
    assert json.loads(places["json"].read_text()) == json.loads(json.dumps(result.as_dict()))
    assert places["csv"].read_text().count("\n") == 2
    assert "<table>" in places["html"].read_text()


def test_what_cannot_be_written_loses_nothing_else(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = perf_results.write_atomic

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise OutputError(where="here", expected="space", found="none", fix="free some")
        real(path, data)

    monkeypatch.setattr(perf_results, "write_atomic", full)
    places = [f"--{kind}={tmp_path / f'result.{kind}'}" for kind in ("json", "csv", "html")]
    assert cli.main(["perf", str(tiny_model), "--iterations", "2", "--duration", "0", *places]) == 6
    captured = capsys.readouterr()
    assert "pictures/s" in captured.out
    assert (
        captured.err.splitlines()[-1] == "u2forge perf: here: expected space; found none. To mend: free some."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.csv", "result.html"]


def test_one_that_dies_on_the_way_is_exit_code_1(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(logs: Sequence[TurnLog], **options: Any) -> None:
        before = options.pop("before_turn")

        def kill_the_first(log: TurnLog) -> None:
            before(log)
            if log is logs[0] and log.turns:
                os.kill(log.worker.pid, signal.SIGKILL)

        run_interleaved(logs, before_turn=kill_the_first, **options)

    monkeypatch.setattr(perf_verb, "run_interleaved", run)
    words = ["perf", str(tiny_model), str(tiny_model), "--iterations", "10", "--duration", "1", "--json"]
    assert cli.main(words) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["status"] for row in rows] == ["partial", "complete"]
    assert "its end by SIGKILL" in rows[0]["reason"]


def test_one_that_fails_stops_no_other(tiny_model: Path, broken: Path) -> None:
    results: list[PerfResult] = []
    result = u2forge.perf([broken, tiny_model], **QUICK, on_result=results.append)
    assert results == [result]
    assert not result.complete
    failed, complete = result.rows
    assert failed.status == "failed"
    assert "the file was damaged, or changed after it was built" in failed.reason
    assert failed.latency is None
    assert complete.status == "complete"


@pytest.mark.skipif(not ENGINES["native"].installed, reason="the native engine is not built")
def test_auto_measures_an_engine_that_runs_the_graph(
    tiny_model: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedGraphError(where="node", expected="one", found="another", fix="none")

    def engines(model: Path, *names: str) -> list[str]:
        wanted = Wanted([model], names, "auto", [], [], [], [], "latency", [])
        return [group[0].engine for group in make_candidates(wanted, progress=False)]

    monkeypatch.setattr(native_engine, "native_devices", lambda: ["cpu", "avx2", "portable"])
    assert engines(tiny_model) == ["native"]
    # Its row says what is wrong.
    assert engines(broken) == ["native"]
    monkeypatch.setattr(native_engine, "check_graph", refuse)
    others = [name for name in ("openvino", "onnxruntime") if ENGINES[name].installed] or ["native"]
    assert engines(tiny_model) == others[:1]
    assert engines(tiny_model, "native", "auto") == list(dict.fromkeys(["native", *others[:1]]))


def test_where_all_fail_the_reason_is_raised(broken: Path, tmp_path: Path) -> None:
    place = tmp_path / "result.json"
    with pytest.raises(ModelError, match="the file was damaged"):
        u2forge.perf(broken, **QUICK, json=place)
    assert not place.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iterations": 0}, "'iterations': expected at least 1; found 0"),
        ({"duration": -1.0}, "'duration': expected at least 0 seconds; found -1"),
        ({"duration": float("nan")}, "'duration': expected at least 0 seconds; found nan"),
        ({"warmup": float("inf")}, "'warmup': expected at least 0 milliseconds; found inf"),
        ({"percentiles": [50, 100]}, "'percentiles': expected numbers above 0 and below 100; found 100"),
        ({"batch_size": [0]}, "'batch_size': expected whole numbers of at least 1; found 0"),
        ({"streams": [1.5]}, r"'streams': expected whole numbers of at least 1; found 1\.5"),
        ({"threads": [-2]}, "'threads': expected whole numbers"),
        ({"scenario": "fast"}, "'scenario': expected one of latency, throughput, pipeline; found 'fast'"),
        ({"precision": ["int8"]}, "'precision': expected one of force_float32"),
        ({"precision": ["force_float16"]}, "expected force_float32, which the file was built for"),
        ({"batch_size": [1, 4]}, "--batch-size: expected 1, which the file was built for; found 4"),
        (
            {"engine": "tensorflow"},
            "expected auto or one of native, cuda, openvino, onnxruntime, magicmind; found 'tensorflow'",
        ),
        ({"input": "nowhere.jpg"}, "nowhere"),
        ({"json": "model.onnx"}, r"expected a file name that ends in \.json; found 'model\.onnx'"),
        ({"csv": "table"}, r"expected a file name that ends in \.csv"),
        ({"profile": True, "scenario": "pipeline"}, "'profile': expected the scenario latency"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_compiled(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(perf_verb, "open_worker", _never)
    monkeypatch.setattr(perf_verb, "find_best", _never)
    with pytest.raises(InputError, match=words):
        u2forge.perf(tiny_model, **options)


def test_no_model_and_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one model; found none"):
        u2forge.perf([])
    with pytest.raises(InputError, match="found no such file"):
        u2forge.perf(tmp_path / "missing.onnx")


def test_an_engine_that_is_not_installed(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_entry, "find_module", lambda package: None)
    with pytest.raises(
        MissingDependencyError,
        match="expected the module openvino; found the package openvino is not installed",
    ):
        u2forge.perf(tiny_model, engine="openvino")


def test_a_device_that_is_not_there(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="device 'cuda'"):
        u2forge.perf(tiny_model, engine="onnxruntime", device="cuda")


def test_a_folder_for_results_that_is_not_there(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    for place, found in (
        ("missing/result.json", "found no folder"),
        ("folder.json", "found a folder of that"),
    ):
        with pytest.raises(OutputError, match=found):
            u2forge.perf(tiny_model, json=tmp_path / place)


def test_interrupted_it_keeps_what_it_has_and_says_so(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "partial.json"
    monkeypatch.setattr(interleave, "MOST_TURN_SECONDS", 0.2)
    monkeypatch.setattr(perf_verb, "run_interleaved", _interrupted_after(3))
    words = ["perf", str(tiny_model), str(tiny_model), "--iterations", "100000", "--json", str(place)]
    assert cli.main(words) == 130
    record = json.loads(place.read_text())
    assert record["complete"] is False
    assert [row["status"] for row in record["rows"]] == ["partial", "partial"]
    assert all(row["iterations"] > 0 for row in record["rows"])
    captured = capsys.readouterr()
    assert "partial" in captured.out
    assert captured.err.endswith("u2forge perf: interrupted\n")


@pytest.mark.usefixtures("short_search")
def test_interrupted_while_searching_the_search_is_kept(
    any_batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(step: str) -> None:
        if step.startswith("opening"):
            raise KeyboardInterrupt

    place = tmp_path / "partial.json"
    with pytest.raises(KeyboardInterrupt):
        u2forge.perf(
            any_batch, scenario="throughput", batch_size=[1, 2], streams=[1], json=place, on_step=interrupt
        )
    (row,) = json.loads(place.read_text())["rows"]
    assert (row["status"], row["reason"]) == ("failed", "interrupted before its first turn")
    assert [one["throughput"] > 0 for one in row["searched"]] == [True, True]


def test_interrupted_while_profiling_that_is_said(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(candidate: object) -> None:
        raise KeyboardInterrupt

    place = tmp_path / "result.json"
    monkeypatch.setattr(perf_verb, "profiled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        u2forge.perf(tiny_model, profile=True, json=place, **QUICK)
    (row,) = json.loads(place.read_text())["rows"]
    assert row["layers"] is None
    assert "not profiled: interrupted" in row["warnings"]


def test_interrupted_before_the_first_turn_there_is_nothing_to_keep(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "partial.json"
    monkeypatch.setattr(perf_verb, "run_interleaved", _interrupted_after(0))
    with pytest.raises(KeyboardInterrupt):
        u2forge.perf(tiny_model, json=place)
    assert not place.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_middle_leaves_a_partial_result_and_no_process(
    tiny_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "partial.json"
    program = [sys.executable, "-m", "u2forge.cli.main", "perf", str(tiny_model), "--iterations", "10000000"]
    # In a process group of its own, as a terminal makes it; no turn takes more than 2 s, whatever is asked for.
    process = subprocess.Popen(
        [*program, "--json", str(place), "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = _wait_for(lambda: _children(process.pid))
    time.sleep(6)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "u2forge perf: interrupted"
    assert "Traceback" not in said
    (row,) = json.loads(place.read_text())["rows"]
    assert row["status"] == "partial"
    assert row["iterations"] > 0
    _wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_several_lists_on_the_command_line(
    any_batch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["perf", str(any_batch), "--batch-size", "1,2", "--batch-size", "3", "--threads", "1"]
    quick = ["--iterations", "2", "--duration", "0", "--warmup", "0", "--percentiles", "50,90"]
    assert cli.main([*words, *quick, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [row["batch_size"] for row in record["rows"]] == [1, 2, 3]
    assert list(record["rows"][0]["latency"]["percentiles"]) == ["p50", "p90"]


def test_a_failed_candidate_is_exit_code_1(
    tiny_model: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--iterations", "2", "--duration", "0", "--warmup", "0"]
    assert cli.main(["perf", str(tiny_model), str(broken), *quick]) == 1
    assert "the file was damaged" in capsys.readouterr().out
    assert cli.main(["perf", str(broken), *quick]) == 3


@pytest.mark.parametrize(
    "words", [["--engine", "openvino,tensorflow"], ["--batch-size", "1,x"], ["--precision", "int8"]]
)
def test_lists_are_checked_by_the_command_line(
    tiny_model: Path, words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["perf", str(tiny_model), *words])
    assert ended.value.code == 2
    assert "invalid" in capsys.readouterr().err


def test_a_model_behind_json_is_not_written_over(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.onnx"
    shutil.copyfile(tiny_model, copy)
    assert cli.main(["perf", str(tiny_model), "--json", str(copy)]) == 2
    assert copy.read_bytes() == tiny_model.read_bytes()


def _never(*_: object, **__: object) -> None:
    raise AssertionError("something was opened")


def _interrupted_after(count: int) -> Callable[..., None]:
    def run(logs: Sequence[TurnLog], **options: Any) -> None:
        before = options.pop("before_turn")

        def interrupt(log: TurnLog) -> None:
            if sum(len(one.turns) for one in logs) >= count:
                raise KeyboardInterrupt
            before(log)

        run_interleaved(logs, before_turn=interrupt, **options)

    return run


def _children(pid: int) -> list[int]:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(word) for word in words]


def _wait_for(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")
