"""The front door: overview, help, exit codes, interruptions."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import u2forge
from u2forge.cli import main as cli
from u2forge.errors import FetchError, InputError, MissingDependencyError, ModelError, U2ForgeError

PROGRAM = [sys.executable, "-m", "u2forge.cli.main"]


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^ +{verb}\s", text, re.MULTILINE) for verb in cli.VERBS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"u2forge {u2forge.__version__}\n"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.split(), "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: u2forge {verb} [-h]")
    # What a program of someone else's prints is its own.
    assert ("--json" in text) == (verb != "magicmind run")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["infre"],
        ["fetch"],
        ["build", "u2net", "-o", "x", "--precision", "no"],
        ["perf compare"],
        ["--", "engines"],
    ],
)
def test_a_wrong_command_line_ends_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ([], ""),
        (["--version"], ""),
        (["engines", "--json"], "engines"),
        (["perf", "compare", "a", "b"], "perf compare"),
        (["perf", "compare.onnx"], "perf"),
        (["perf", "a", "compare"], "perf"),
        (["perf compare"], ""),
        (["compare"], ""),
    ],
)
def test_the_longest_verb_is_meant(words: list[str], verb: str) -> None:
    assert cli.verb_of(words) == verb


@pytest.mark.parametrize(
    ("kind", "code"), [(InputError, 2), (ModelError, 3), (FetchError, 4), (MissingDependencyError, 7)]
)
def test_errors_become_one_line_and_a_code(
    kind: type[U2ForgeError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise kind(where="here", expected="this", found="that", fix="do it")

    monkeypatch.setattr("u2forge.cli.engines.engines", fails)
    assert cli.main(["engines"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "u2forge engines: here: expected this; found that. To mend: do it.\n"


def test_an_interruption_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("u2forge.cli.engines.engines", interrupted)
    assert cli.main(["engines"]) == 130
    assert capsys.readouterr().err == "u2forge engines: interrupted\n"


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path) -> None:
    command = " ".join([*PROGRAM, "engines", "--json"]) + " | true"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in answer.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_a_waiting_program() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "infer", "-", "--out", "nowhere"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == "u2forge infer: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_stop_the_work(
    closing: str, tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    words = [*PROGRAM, "infer", str(photos), "--out", str(tmp_path / "out"), "--model", str(tiny_model)]
    answer = subprocess.run(["bash", "-c", f"{' '.join(words)} {closing}"], capture_output=True, check=False)
    assert answer.returncode == 0
    assert b"Traceback" not in answer.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error_of_ours(tiny_model: Path) -> None:
    command = " ".join([*PROGRAM, "inspect", str(tiny_model)]) + " > /dev/full"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert answer.returncode == 6
    assert "No space left" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_names_that_the_system_refuses_are_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["infer", "x" * 300, "--out", str(tmp_path / "out")]) == 2
    assert "File name too long" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_many_ctrl_c_end_as_cleanly_as_one(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    for index in range(150):
        (tmp_path / f"{index}.png").write_bytes((photos / "a.png").read_bytes())
    words = [*PROGRAM, "infer", str(tmp_path), "--out", str(tmp_path / "out"), "--model", str(tiny_model)]
    process = subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.endswith("u2forge infer: interrupted\n")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".u2forge-part")]
