"""The command mm_run: flags as MagicMind's, what has no effect is said, errors become codes, files are written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from u2forge.cli import mm_run
from u2forge.cli.mm_run_command_line import MmRunFlags, parse_flags
from u2forge.cli.mm_run_flags import FLAGS
from u2forge.cli.mm_run_places import check_file
from u2forge.cli.program import EXIT_CODES
from u2forge.errors import EngineError, InputError, OutputError
from u2forge.measure.perf_row import PerfResult, PerfRow
from u2forge.measure.spread import spread_of

ROOT = Path(__file__).resolve().parents[2]


def flags(*words: str) -> MmRunFlags:
    return parse_flags(["--magicmind_model", "m.onnx", *words])


class FakePerf:
    """Stands for perf: keeps its arguments, tells its one row and ends as it is told to."""

    def __init__(self, *, status: str = "complete", reason: str = "", ends_with: BaseException | None = None):
        self.asked: dict[str, Any] = {}
        self._row: dict[str, Any] = {"status": status, "reason": reason}
        self._ends_with = ends_with

    def __call__(self, model: str, **asked: Any) -> PerfResult:
        self.asked = {"model": model, **asked}
        row = PerfRow(
            model=model,
            path=model,
            scenario="latency",
            engine="openvino",
            device="CPU",
            iterations=5,
            wall_s=0.5,
            throughput=10.0,
            latency=spread_of([100.0]),
            warnings=("an unstable run",),
            **self._row,
        )
        result = PerfResult(
            rows=(row,), scenario="latency", parameters={}, machine={}, versions={}, date="", warnings=()
        )
        if not isinstance(self._ends_with, EngineError):
            asked["on_result"](result)
        if self._ends_with is not None:
            raise self._ends_with
        return result


@pytest.fixture
def fake_perf(monkeypatch: pytest.MonkeyPatch) -> FakePerf:
    fake = FakePerf()
    monkeypatch.setattr("u2forge.cli.mm_run.perf", fake)
    return fake


def test_flags_have_one_or_two_dashes_and_a_space_or_an_equals_sign() -> None:
    expected = flags("--threads", "2", "--batch_size", "4", "--input_dims", "4,3,320,320")
    assert expected.threads == 2
    assert expected.batch_size == 4
    assert expected.input_dims == ((4, 3, 320, 320),)
    for words in (
        ["-threads", "2", "-batch", "4", "-input_dims", "4,3,320,320"],
        ["--threads=2", "--batch=4", "--input_dims=4,3,320,320"],
        ["-threads=2", "--batch-size=4", "--input-dims", "4,3,320,320"],
    ):
        assert flags(*words) == expected


def test_the_defaults_are_mm_runs() -> None:
    found = flags()
    assert (found.threads, found.iterations, found.duration_ms, found.warmup_ms) == (1, 100, 3000, 200)
    assert (found.device, found.engine, found.batch_size, found.notes) == ("auto", "auto", None, ())
    assert found.shown["devices<Vec<Str>>"] == "0"
    assert next(iter(found.shown)) == "magicmind_model<Str>"
    assert found.shown["disable_data_copy<Bool>"] == "false"


def test_several_inputs_are_separated_by_spaces() -> None:
    assert flags("--input_dims", "2,3", "4,5").input_dims == ((2, 3), (4, 5))
    assert flags("--input_dims", "2,3 4,5").input_dims == ((2, 3), (4, 5))
    assert flags("--batch_size", "2", "2").batch_sizes == (2, 2)
    assert flags("--batch_size", "2,2").batch_sizes == (2, 2)
    assert flags("--input_files", "a", "b c").input_files == (Path("a"), Path("b c"))


def test_the_batch_comes_from_the_dims_where_it_is_not_given() -> None:
    assert flags("--input_dims", "8,3,320,320").batch_size == 8
    assert flags("--input_dims", "8,3,320,320", "--batch", "4").batch_size == 4


@pytest.mark.parametrize(("word", "device"), [("0", "auto"), ("cpu", "cpu"), ("GPU.1", "GPU.1")])
def test_a_device_is_0_or_a_name(word: str, device: str) -> None:
    assert flags("--devices", word).device == device


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--iteration", "3"], "did you mean --iterations?"),
        (["--thread", "3"], "did you mean --threads?"),
        (["--qqq"], "see mm_run --help"),
        (["--devices", "0", "1"], "expected one device; found 0 1"),
        (["--devices", "0,1"], "expected one device"),
        (["--devices", "3"], "found 3, the number of an MLU"),
        (["--iterations", "many"], "a whole number of at least 0; found 'many'"),
        (["--iterations", "-1"], "found '-1'"),
        (["--iterations", "9" * 5000], "a whole number"),
        (["--threads", "0"], "a whole number of at least 1"),
        (["--threads", "1", "2"], "expected one value; found 1 2"),
        (["--threads"], "expected a value; found none"),
        (["--output_path="], "expected a value; found none"),
        (["--input_dims", "1,x"], "found 'x'"),
        (["--batch", "0"], "at least 1"),
        (["--disable_data_copy", "maybe"], "expected one of 0, false, 1, true"),
        (["--trace_time", "never"], "expected one of none, host, dev, both"),
        (["--engine", "tensorrt"], "auto, native, cuda, openvino, onnxruntime"),
        (["--plugin", "x.so"], "engines bring their own operators"),
        (["--perf_path", "x"], "u2forge perf MODEL --profile"),
    ],
)
def test_wrong_flags_are_refused_with_what_to_do(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        flags(*words)
    assert message in str(caught.value)


def test_a_model_must_be_named() -> None:
    with pytest.raises(InputError, match="expected --magicmind_model"):
        parse_flags(["--threads", "1"])
    with pytest.raises(InputError, match="a flag first"):
        parse_flags(["model.onnx"])


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.effect == "none"])
def test_every_flag_without_effect_says_so(name: str) -> None:
    given = {"Bool": "1", "Int": "2", "Str": "both", "Vec<Int>": "100,10"}[FLAGS[name].kind]
    assert flags(f"--{name}", given).notes == (f"--{name} has no effect: {FLAGS[name].about}",)


def test_a_switch_that_is_off_needs_no_word() -> None:
    assert flags("--disable_data_copy", "0", "--host_async=False", "--trace_time", "host").notes == ()
    assert len(flags("--disable_data_copy").notes) == 1


def test_what_is_overridden_is_said() -> None:
    found = flags("--batch", "2", "--batch_size", "4", "--output_path", "out")
    assert found.batch_size == 4
    assert found.notes == (
        "--batch_size was given more than once; the last one counts",
        "--output_path has no effect without --input_files, as in mm_run",
    )


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert mm_run.main(["-h"]) == 0
    text = capsys.readouterr().out
    assert all(f"--{name} <" in text for name in FLAGS)


def test_the_document_names_every_flag() -> None:
    document = (ROOT / "docs" / "mm_run.md").read_text(encoding="utf-8")
    assert [name for name in FLAGS if f"`--{name}" not in document] == []


def test_perf_is_asked_for_what_the_flags_say(
    fake_perf: FakePerf,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("u2forge.cli.mm_run.usable_processors", lambda: 2)
    words = ["--magicmind_model", str(tiny_model), "--threads", "2", "--iterations", "30", "--devices", "cpu"]
    assert mm_run.main([*words, "--duration", "500", "--warmup", "0", "--input_dims", "1,3,64,96"]) == 0
    asked = fake_perf.asked
    assert asked["model"] == str(tiny_model)
    assert (asked["engine"], asked["device"], asked["batch_size"]) == (("auto",), "cpu", (1,))
    # mm_run counts each thread's own iterations.
    assert (asked["streams"], asked["iterations"]) == ((2,), 60)
    assert (asked["duration"], asked["warmup"]) == (0.5, 0.0)
    assert set(asked["percentiles"]) == {90.0, 95.0, 99.0}
    said = capsys.readouterr()
    assert said.out.index("Parameter Information") < said.out.index("Performance Summary")
    assert "\n--threads<Int>                : 2\n" in said.out
    assert said.err == "mm_run: warning: an unstable run\n"


@pytest.mark.parametrize(("device", "run"), [("0", 2), ("cpu", 2), ("GPU", 8), ("cuda", 8)])
def test_iterations_count_the_threads_that_really_run(
    fake_perf: FakePerf,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    run: int,
) -> None:
    monkeypatch.setattr("u2forge.cli.mm_run.usable_processors", lambda: 2)
    words = ["--magicmind_model", str(tiny_model), "--threads", "8", "--iterations", "30"]
    assert mm_run.main([*words, "--devices", device]) == 0
    assert (fake_perf.asked["streams"], fake_perf.asked["iterations"]) == ((run,), 30 * run)
    said = (
        "--threads 8: 2 run side by side, no more than the processors that can be used; --iterations counts"
    )
    assert (said in capsys.readouterr().err) == (run == 2)


def test_no_iterations_leave_it_to_the_duration(fake_perf: FakePerf, tiny_model: Path) -> None:
    assert mm_run.main(["--magicmind_model", str(tiny_model), "--iterations", "0"]) == 0
    assert fake_perf.asked["iterations"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "4"], "expected 1, which the file was built for; found 4"),
        (["--input_dims", "1,3,320,320"], "expected 1,3,64,96 (NCHW), which the model was built for"),
        (["--input_dims", "1,3,64,96", "1,2"], "expected 1, one for each of image; found 2"),
        (["--input_files", "a", "b"], "no such file"),
    ],
)
def test_what_does_not_fit_the_model_is_said_before_measuring(
    fake_perf: FakePerf, tiny_model: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert mm_run.main(["--magicmind_model", str(tiny_model), *words]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("mm_run: ")
    assert said.out == ""
    assert fake_perf.asked == {}


def test_a_missing_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert mm_run.main(["--magicmind_model", "none.onnx"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("mm_run: model 'none.onnx': expected a model file")
    assert said.err.count("\n") == 1


def test_a_raw_file_of_another_size_is_refused(
    fake_perf: FakePerf, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    np.zeros(7, np.float32).tofile(raw)
    assert mm_run.main(["--magicmind_model", str(tiny_model), "--input_files", str(raw)]) == 2
    assert "expected 73728 bytes: raw float32 numbers of the shape (1, 3, 64, 96)" in capsys.readouterr().err
    assert fake_perf.asked == {}


def test_an_interruption_prints_what_there_is(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("u2forge.cli.mm_run.perf", FakePerf(status="partial", ends_with=KeyboardInterrupt()))
    assert mm_run.main(["--magicmind_model", str(tiny_model)]) == 130
    said = capsys.readouterr()
    assert "\nStatus:                       partial: interrupted\n" in said.out
    assert "Throughput (qps):" in said.out
    assert said.err.endswith("mm_run: interrupted\n")


def test_an_engine_that_fails_on_the_way_is_an_error_with_a_partial_result(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("u2forge.cli.mm_run.perf", FakePerf(status="partial", reason="out of memory"))
    assert mm_run.main(["--magicmind_model", str(tiny_model)]) == 5
    said = capsys.readouterr()
    assert "Throughput (qps):" in said.out
    assert said.err.endswith("mm_run: partial result: out of memory\n")


def test_an_engine_that_fails_at_once_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = EngineError(where="here", expected="this", found="that", fix="do it")
    monkeypatch.setattr("u2forge.cli.mm_run.perf", FakePerf(ends_with=error))
    assert mm_run.main(["--magicmind_model", str(tiny_model)]) == 5
    said = capsys.readouterr()
    assert said.err == "mm_run: here: expected this; found that. To mend: do it.\n"
    assert "Performance Summary" not in said.out


def test_outputs_and_trace_are_written_after_measuring(
    fake_perf: FakePerf, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32).tofile(raw)
    words = ["--magicmind_model", str(tiny_model), "--input_files", str(raw)]
    out, trace = tmp_path / "out", tmp_path / "trace.json"
    assert mm_run.main([*words, "--output_path", str(out), "--trace_path", str(trace)]) == 0
    assert (out / "output0").stat().st_size == 64 * 96 * 4
    found = json.loads(trace.read_text())
    # As many as the fake measured, each with its parts.
    assert [event["name"] for event in found["traceEvents"]].count("compute") == 5
    assert "not the measured ones" in found["otherData"]["note"]
    said = capsys.readouterr().err
    assert "measured with made-up numbers" in said
    assert f"mm_run: wrote {out / 'output0'}\nmm_run: wrote {trace}\n" in said


def test_a_trace_in_a_folder_needs_no_input_files(
    fake_perf: FakePerf, tiny_model: Path, tmp_path: Path
) -> None:
    assert mm_run.main(["--magicmind_model", str(tiny_model), "--trace_path", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "dev0_trace.json").is_file()


@pytest.mark.parametrize(
    ("flag", "place", "found"),
    [
        ("output_path", "file", "{folder}/file, which is no folder"),
        ("output_path", "file/below", "{folder}/file, which is no folder"),
        ("output_path", "taken", "a folder of that name"),
        ("trace_path", "file", "{folder}/file, which is no folder"),
        ("trace_path", "file/trace.json", "{folder}/file, which is no folder"),
        ("trace_path", "folder.json", "a folder of that name"),
    ],
)
def test_what_cannot_be_written_is_said_before_measuring(
    fake_perf: FakePerf,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    place: str,
    found: str,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "output0_1").mkdir(parents=True)
    (tmp_path / "folder.json").mkdir()
    raw = tmp_path / "raw"
    np.zeros((1, 3, 64, 96), np.float32).tofile(raw)
    words = ["--magicmind_model", str(tiny_model), "--input_files", str(raw), str(raw)]
    assert mm_run.main([*words, f"--{flag}", str(tmp_path / place)]) == EXIT_CODES[OutputError]
    said = capsys.readouterr()
    assert f"mm_run: --{flag}, {tmp_path}" in said.err
    assert f"found {found.format(folder=tmp_path)}. To mend: choose another --{flag}." in said.err
    assert said.out == ""
    assert fake_perf.asked == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_said_before_measuring(
    fake_perf: FakePerf, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    words = ["--magicmind_model", str(tiny_model), "--trace_path", str(tmp_path / "new")]
    assert mm_run.main(words) == EXIT_CODES[OutputError]
    assert f"found no right to write to {tmp_path}" in capsys.readouterr().err
    assert fake_perf.asked == {}


def test_a_check_of_places_leaves_nothing_behind(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "folder" / "output0", flag="output_path")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError):
        check_file(tmp_path / ("x" * 5000) / "output0", flag="output_path")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
@pytest.mark.parametrize("to_all", [True, False], ids=["as a terminal does", "the program alone"])
def test_an_interruption_of_the_real_command(tiny_model: Path, to_all: bool) -> None:
    # Where the machine is so slow that the engine is not open yet, once more with more patience.
    for seconds in (6, 15, 60):
        code, out, err = _interrupted(tiny_model, after_s=seconds, to_all=to_all)
        assert code == 130, err
        assert "Traceback" not in err
        assert err.endswith("mm_run: interrupted\n")
        if "Performance Summary" in out:
            break
    assert "\nStatus:                       partial: interrupted\n" in out
    (iterations,) = [line for line in out.splitlines() if line.startswith("Iterations:")]
    assert int(iterations.split(":")[1]) > 0


def _interrupted(model: Path, *, after_s: float, to_all: bool) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of an endless run; to_all: its workers get the signal too."""
    command = [sys.executable, "-m", "u2forge.cli.mm_run", "--magicmind_model", str(model)]
    words = ["--iterations", "10000000", "--duration", "0", "--warmup", "0"]
    process = subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        time.sleep(after_s)
        assert process.poll() is None
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def test_the_command_measures(tiny_model: Path) -> None:
    """The whole way through the real perf, as the sample's perf script calls it."""
    command = [sys.executable, "-m", "u2forge.cli.mm_run", "--magicmind_model", str(tiny_model)]
    words = ["--iterations", "3", "--duration", "0", "--warmup", "0", "--batch", "1", "--devices", "0"]
    answer = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    (line,) = [line for line in answer.stdout.splitlines() if "Throughput (qps)" in line]
    assert float(line.split(":")[1]) > 0
    (iterations,) = [line for line in answer.stdout.splitlines() if line.startswith("Iterations:")]
    assert int(iterations.split(":")[1]) >= 3
    assert "Traceback" not in answer.stderr
