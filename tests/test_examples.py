"""The examples run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, *words: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_one_picture(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    assert "float32, preprocess" in run(
        "01_one_picture.py", photos / "b.jpg", tmp_path / "cut.png", tiny_model
    )
    with Image.open(tmp_path / "cut.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (50, 90))


def test_a_folder(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    assert "5 done" in run("02_folder.py", photos, tmp_path / "web", tiny_model)
    assert len(list((tmp_path / "web").rglob("*.jpg"))) == 5
    assert "0 done, 5 skipped" in run("02_folder.py", photos, tmp_path / "web", tiny_model)


def test_a_model_of_ones_own(tiny_checkpoint: Path, tmp_path: Path) -> None:
    text = run("03_own_model.py", tiny_checkpoint, tmp_path / "model.onnx")
    assert text.startswith("tiny: float32 (any, 3, 256, 448) NCHW, ")


def test_every_example_is_run_here() -> None:
    assert [path.name for path in sorted(EXAMPLES.glob("*.py"))] == [
        "01_one_picture.py",
        "02_folder.py",
        "03_own_model.py",
    ]
