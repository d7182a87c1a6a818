"""perf compare, through the command line: the table, the JSON, exit codes, the wording of a wrong limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from perf_records import STEADY, row, untold, write

import u2forge
from u2forge.cli.main import main
from u2forge.errors import InputError, PerformanceError
from u2forge.measure.comparison import Comparison

SLOWER = tuple(1.2 * turn for turn in STEADY)
LABEL = "tiny force_float32 on openvino CPU, batch 1, 2 threads"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old.json", row(), row(engine="onnxruntime"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["perf", "compare", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_record_against_itself(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, old, old)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"old: {old}, 2026-01-02T03:04:05+00:00"
    assert lines[2] == "Some Processor, 2 processors, Linux x86_64; u2forge 0.1.0, openvino 2025.1"
    assert lines[4].split() == "row old ms new ms change % from % to % verdict".split()
    assert lines[6].split() == [*LABEL.split(), "100.000", "100.000", "+0.0", "-0.3", "+0.3", "same"]
    assert lines[-1] == "2 same; most loss 5%: no row fails"


def test_a_loss_is_printed_and_ends_with_10(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(
        tmp_path / "new.json",
        row(SLOWER, warnings=("drift: …",)),
        row((100.0,), batch_size=4),
        untold(reason="no such engine"),
        versions={"u2forge": "0.2.0", "numpy": "2.0"},
        warnings=["the machine was hot"],
    )
    code, out, err = run(capsys, old, new, "--max-loss", "5%")
    assert code == 10
    assert "     the machine was hot\n" in out
    assert "u2forge 0.2.0 (old: 0.1.0), openvino not there (old: 2025.1), numpy 2.0 (old: not there)" in out
    assert f"{LABEL}:\n  new record says drift: …\n" in out
    assert "failed in the new record: no such engine" in out
    assert out.endswith("1 slower, 1 missing, 2 new; most loss 5%: 2 of 4 rows fail\n")
    assert err.startswith(f"u2forge perf compare: perf compare, {new} against {old}: expected every row")
    assert f"found {LABEL}: 20.0% slower (+19.7% to +20.3%); new record says drift: …; tiny" in err


def test_the_limit_as_a_number_or_in_percent(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.json", row(SLOWER), row(engine="onnxruntime"))
    assert run(capsys, old, new)[0] == 10
    assert run(capsys, old, new, "--max-loss", "19%")[0] == 10
    assert run(capsys, old, new, "--max-loss", "25%")[0] == 0
    assert run(capsys, old, new, "--max-loss", "0.25")[0] == 0
    assert run(capsys, new, old, "--max-loss", "0")[0] == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--max-loss=-5%"], "-5%"),
        (["--max-loss", "-0.01"], "-1%"),
        (["--max-loss", "100%"], "100%"),
        (["--max-loss", "5"], "500%"),
        (["--max-loss", "nan"], "nan%"),
        (["--max-loss", "nan%"], "nan%"),
        (["--max-loss", "inf"], "inf%"),
    ],
)
def test_a_limit_out_of_bounds(
    words: list[str], found: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, old, old, *words)
    assert (code, out) == (2, "")
    assert err == (
        "u2forge perf compare: perf compare, option 'max_loss': expected a loss of at least 0 and below 100%; "
        f"found {found}. To mend: give 5% or 0.05, say.\n"
    )


@pytest.mark.parametrize("text", ["little", "%", "5 percent", ""])
def test_a_limit_that_is_no_number(text: str, old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["perf", "compare", str(old), str(old), "--max-loss", text])
    assert ended.value.code == 2
    assert f"argument --max-loss: expected 5% or 0.05, say; found {text!r}" in capsys.readouterr().err


def test_a_file_that_is_not_there(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, old, tmp_path / "none.json")
    assert (code, out) == (2, "")
    assert "none.json: expected a file that can be read; found No such file or directory" in err


def test_another_machine_ends_with_2_and_prints_nothing(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = {"processor": "Another", "processors_usable": 8, "system": "Linux x86_64"}
    code, out, err = run(capsys, old, write(tmp_path / "new.json", row(), machine=machine))
    assert (code, out) == (2, "")
    assert "figures of two machines cannot be compared" in err


def test_json_is_printed_before_the_gate(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.json", row(SLOWER), row(engine="onnxruntime"))
    code, out, _ = run(capsys, old, new, "--json")
    assert code == 10
    found = json.loads(out)
    assert (found["u2forge_perf_compare"], found["passes"], found["max_loss"]) == (1, False, 0.05)
    assert [(one["verdict"], one["fails"]) for one in found["rows"]] == [("slower", True), ("same", False)]


def test_in_python_the_result_comes_before_the_error(old: Path, tmp_path: Path) -> None:
    seen: list[Comparison] = []
    new = write(tmp_path / "new.json", row(SLOWER), row(engine="onnxruntime"))
    with pytest.raises(PerformanceError, match="slower"):
        u2forge.perf_compare(str(old), new, on_result=seen.append)
    assert [one.verdict for one in seen[0].rows] == ["slower", "same"]
    assert u2forge.perf_compare(old, old).failed == []
    with pytest.raises(InputError, match="found 500%"):
        u2forge.perf_compare(old, old, max_loss=5)


def test_percents_beyond_all_sense_stay_short(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.json", row((1e3, 1e8)), row(engine="onnxruntime"))
    code, out, _ = run(capsys, old, new)
    assert (code, "+999.9" in out) == (10, True)
    code, out, _ = run(capsys, old, new, "--json")
    assert json.loads(out)["rows"][0]["verdict"] == "slower"


def test_a_row_that_passes_though_uncertain_is_in_the_summary(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.json", row((108.0,)), row(engine="onnxruntime"))
    code, out, _ = run(capsys, old, new)
    assert code == 0
    assert out.endswith(
        "1 uncertain, 1 same; most loss 5%: no row fails, 1 passed though uncertain: measure longer\n"
    )
