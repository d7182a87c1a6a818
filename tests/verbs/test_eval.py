"""eval, through the command line: figures, files, broken pairs, resumption, the gate."""

from __future__ import annotations

import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from dataset_files import disc, write_dataset, write_pair
from eval_files import COUNT, csv_rows, run_json
from PIL import Image

import u2forge
from u2forge.cli.main import main
from u2forge.errors import InputError
from u2forge.evaluate.protocols import FIGURES
from u2forge.report.eval_result import EvalResult

ROW_KEYS = {
    *("dataset images model precision executed engine protocol images_per_second".split()),
    *("device threads model_sha256 differences off_scale".split()),
    *FIGURES,
}
VOID_TAGS = {"meta", "img"}


class WellFormed(HTMLParser):
    """Every tag is closed in its turn; nothing is loaded, nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "srcset")
            assert name != "src" or str(value).startswith("data:image/")
        if tag not in VOID_TAGS:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def parsed_page(folder: Path) -> WellFormed:
    parser = WellFormed()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    parser.close()
    assert parser.open_tags == []
    assert not {"script", "link", "iframe", "object"} & set(parser.tags)
    return parser


def test_one_model(tiny_model: Path, made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, tiny_model, "--dataset", made_up)
    (row,) = found["rows"]
    assert row.keys() >= ROW_KEYS
    assert (row["dataset"], row["images"], row["protocol"]) == ("made-up", COUNT, "paper")
    assert (row["precision"], row["executed"]) == ("force_float32", "float32")
    assert 0 < row["mae"] < 1
    assert 0 < row["max_f"] <= 1
    assert row["images_per_second"] > 0
    assert row["differences"] is None
    assert found["broken"] == []
    assert {"machine", "versions", "date"} <= found.keys()


def test_the_mae_is_that_of_the_masks_that_infer_writes(
    tiny_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = run_json(capsys, tiny_model, "--dataset", made_up, "--protocol", "pysodmetrics")["rows"]
    u2forge.infer(made_up / "images", out=tmp_path, model=tiny_model)
    errors = []
    for path in sorted(tmp_path.glob("*.png")):
        mask = np.asarray(Image.open(path), float)
        stretched = (mask - mask.min()) / max(mask.max() - mask.min(), 1)
        truth = np.asarray(Image.open(made_up / "masks" / path.name)) > 127
        errors.append(np.abs(stretched - truth).mean())
    assert row["mae"] == pytest.approx(np.mean(errors), abs=1e-9)


def test_several_models_and_protocols_side_by_side(
    tiny_model: Path, other_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["eval", str(tiny_model), str(other_model), "--dataset", str(made_up), "--out", str(out)]
    assert main([*words, "--protocol", "paper", "--protocol", "magicmind"]) == 0
    text = capsys.readouterr().out
    assert text.count("magicmind (off scale)") == 4  # two rows of figures, two of differences
    assert "say nothing of quality" in text
    rows = json.loads((out / "eval.json").read_text())["rows"]
    assert [(row["precision"], row["protocol"]) for row in rows] == [
        ("force_float32", "paper"),
        ("force_float16", "paper"),
        ("force_float32", "magicmind"),
        ("force_float16", "magicmind"),
    ]
    assert [row["off_scale"] for row in rows] == [False, False, True, True]
    differences = rows[1]["differences"]
    assert differences["mae"] == pytest.approx(rows[1]["mae"] - rows[0]["mae"])
    assert 0 < differences["mean_difference"] <= differences["worst_difference"] < 1
    assert 0 <= differences["worst_iou"] < 1
    assert 0 <= differences["below_iou_0_95"] <= COUNT
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 40
    assert page.count('role="img"') == 4
    assert "Curves, protocol magicmind (off scale)" in page
    parsed_page(out)
    table = csv_rows(out)
    assert len(table) == COUNT * 4
    paper = [
        float(row["mae"])
        for row in table
        if (row["precision"], row["protocol"]) == ("force_float32", "paper")
    ]
    assert np.mean(paper) == pytest.approx(rows[0]["mae"])


def test_a_model_equals_itself(
    tiny_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copyfile(tiny_model, tmp_path / "copy.onnx")
    first, second = run_json(capsys, tiny_model, copy, "--dataset", made_up, "--limit", 5)["rows"]
    assert second["differences"]["worst_difference"] == 0
    assert second["differences"]["worst_iou"] == 1
    assert [first[name] for name in FIGURES] == [second[name] for name in FIGURES]


def test_a_limit_takes_pictures_evenly_and_says_so(
    tiny_model: Path, made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", str(tiny_model), "--dataset", str(made_up), "--out", str(tmp_path), "--limit", "4"]
    assert main(words) == 0
    assert f"4 pictures, evenly spread over {COUNT} found (--limit 4)" in capsys.readouterr().out
    assert [row["picture"] for row in csv_rows(tmp_path)] == ["000.jpg", "006.jpg", "013.jpg", "019.jpg"]


def hostile_dataset(folder: Path) -> Path:
    """Names that a page or a table could mistake, and broken pairs; one of them only decoding finds."""
    write_dataset(folder, 3)
    for name in ("=1+1", "<b onload=x>&", "@sum"):
        write_pair(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png")
    whole = (folder / "images" / "001.jpg").read_bytes()
    (folder / "images" / "001.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    Image.fromarray(disc(9, 9)).save(folder / "masks" / "002.png")
    (folder / "masks" / "only.png").write_bytes((folder / "masks" / "000.png").read_bytes())
    return folder


@pytest.mark.skipif(os.name != "posix", reason="such names are not allowed there")
def test_broken_pairs_are_left_out_by_name_everywhere(
    tiny_model: Path, other_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = hostile_dataset(tmp_path / "set"), tmp_path / "out"
    found = run_json(capsys, tiny_model, other_model, "--dataset", folder, "--out", out, code=1)
    assert [(broken["name"], broken["problem"]) for broken in found["broken"]] == [
        ("001.jpg", "unreadable"),
        ("002.jpg", "sizes differ"),
        ("only.png", "no photo"),
    ]
    assert [row["images"] for row in found["rows"]] == [4, 4]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Left out (3)" in page
    assert all(name in page for name in ("001.jpg", "002.jpg", "only.png"))
    assert "<b onload" not in page
    parsed_page(out)
    cells = [row["picture"] for row in csv_rows(out)]
    assert {"'=1+1.jpg", "'@sum.jpg", "000.jpg", "001.jpg"} <= set(cells)
    assert [row["problem"][:11] for row in csv_rows(out) if row["picture"] == "001.jpg"] == ["unreadable:"]
    assert main(["eval", str(tiny_model), "--dataset", str(folder)]) == 1
    assert "left out (3):\n  001.jpg: unreadable" in capsys.readouterr().out


def test_nothing_left_is_an_error(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path / "a.jpg", tmp_path / "a.png", size=(200, 200))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    assert main(["eval", str(tiny_model), "--dataset", str(tmp_path)]) == 2
    assert "at least one sound pair" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--max-mae-loss", "0.1"],
        ["--limit", "0"],
        ["--workers", "0"],
        ["--resume"],
        ["--batch-size", "3"],
        ["--precision", "force_float16"],
        ["--threads", "0"],
    ],
)
def test_options_that_do_not_fit(words: list[str], tiny_model: Path, made_up: Path) -> None:
    assert main(["eval", str(tiny_model), "--dataset", str(made_up), *words]) == 2


def test_a_missing_package_is_said_before_anything_is_opened(
    made_up: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert main(["eval", "nothing.onnx", "--dataset", str(made_up)]) == 7
    assert "extra [eval]" in capsys.readouterr().err


def test_python_takes_one_model_and_tells_what_happens(tiny_model: Path, made_up: Path) -> None:
    started: list[int] = []
    names: list[str] = []
    results: list[EvalResult] = []
    result = u2forge.eval(
        str(tiny_model),
        dataset=made_up,
        limit=3,
        on_start=started.append,
        on_picture=names.append,
        on_result=results.append,
    )
    assert started == [3]
    assert names == ["000.jpg", "008.jpg", "017.jpg"]
    assert results == [result]
    with pytest.raises(InputError, match="one of paper, pysodmetrics, magicmind"):
        u2forge.eval(tiny_model, dataset=made_up, protocol=["ours"])  # type: ignore[list-item]
