"""eval, killed, interrupted and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dataset_files import write_pair
from eval_files import COUNT, csv_rows, run_json

from u2forge.cli.main import main
from u2forge.evaluate.journal import JOURNAL_NAME


def figures(values: dict[str, Any]) -> object:
    """All that has to be equal between two runs: no times, no dates."""
    rows = [
        {key: value for key, value in row.items() if key != "images_per_second"} for row in values["rows"]
    ]
    return rows, values["dataset"], values["broken"]


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "engine_ms"} for row in rows]


def begin(words: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "u2forge.cli.main", "eval", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_records(out: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        journal = out / JOURNAL_NAME
        if journal.exists() and journal.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.005)
    raise AssertionError("the run did not begin")


@pytest.fixture(scope="module")
def large_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that take a while to score."""
    folder = tmp_path_factory.mktemp("eval") / "large"
    for index in range(COUNT):
        name = f"{index:03d}"
        write_pair(
            folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png", size=(300, 240), seed=index
        )
    return folder


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_killed_or_interrupted_and_resumed_equals_uninterrupted(
    number: signal.Signals,
    code: int,
    tiny_model: Path,
    other_model: Path,
    large_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common: list[object] = [tiny_model, other_model, "--dataset", large_dataset, "--protocol", "pysodmetrics"]
    whole = run_json(capsys, *common, "--out", tmp_path / "whole")
    out = tmp_path / "out"
    process = begin([*common, "--out", out])
    wait_for_records(out, 5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert not (out / "eval.json").exists()
    records = (out / JOURNAL_NAME).read_bytes().count(b"\n") - 1
    assert 5 <= records < COUNT
    with (out / JOURNAL_NAME).open("ab") as file:
        file.write(b'{"name": "torn')
    resumed = run_json(capsys, *common, "--out", out, "--resume")
    assert figures(resumed) == figures(whole)
    assert without_times(csv_rows(out)) == without_times(csv_rows(tmp_path / "whole"))
    pages = [
        (folder / "report.html").read_text(encoding="utf-8").split("Where ", 1)[1].split("Origins")[0]
        for folder in (out, tmp_path / "whole")
    ]
    assert pages[0] == pages[1]


def test_resume_of_a_finished_run_does_nothing_again(
    tiny_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[object] = [tiny_model, "--dataset", made_up, "--out", tmp_path]
    first = run_json(capsys, *words)
    journal = (tmp_path / JOURNAL_NAME).read_bytes()
    assert figures(run_json(capsys, *words, "--resume")) == figures(first)
    assert (tmp_path / JOURNAL_NAME).read_bytes() == journal


def test_a_journal_of_another_job_is_refused(
    tiny_model: Path, other_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", str(tiny_model), "--dataset", str(made_up), "--out", str(tmp_path)]
    assert main(words) == 0
    assert main(words) == 6
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume", "--protocol", "magicmind"]) == 2
    assert "results made with protocols magicmind; found" in capsys.readouterr().err
    assert main([*words, "--resume", "--limit", "3"]) == 2
    assert main(["eval", str(other_model), *words[2:], "--resume"]) == 2
    assert main([*words, "--existing", "replace", "--protocol", "magicmind"]) == 0
    assert json.loads((tmp_path / "eval.json").read_text())["rows"][0]["protocol"] == "magicmind"


def test_a_broken_journal_is_refused(
    tiny_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", str(tiny_model), "--dataset", str(made_up), "--out", str(tmp_path)]
    assert main(words) == 0
    journal = tmp_path / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    for broken in (b"{}\n", b"[1]\n", b"no json\n", b"null\n"):
        journal.write_bytes(b"".join([*lines[:3], broken, *lines[4:]]))
        assert main([*words, "--resume"]) == 2
        assert "line 4 is none" in capsys.readouterr().err
    journal.write_bytes(b'{"journal":1,"job":"other"}\n')
    assert main([*words, "--resume"]) == 2
    journal.write_bytes(lines[0][:20])
    assert main([*words, "--resume"]) == 0
