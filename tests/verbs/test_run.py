"""run: the one-click job, on a tiny network in the place of the official one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import u2forge
from u2forge.cli.main import main
from u2forge.errors import InputError, MissingDependencyError
from u2forge.verbs.demo_photos import DEMO_PHOTOS, demo_photos


@pytest.fixture(autouse=True)
def _tiny_models(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def model_path(model: str, *, precision: str, batch_size: None = None, progress: bool = False) -> Path:
        path = tmp_path / f"{precision}.onnx"
        if not path.exists():
            u2forge.build(tiny_checkpoint, out=path, input_height=64, input_width=64, precision=precision)  # type: ignore[arg-type]
        return path

    monkeypatch.setattr("u2forge.verbs.run.model_path", model_path)
    monkeypatch.setattr("u2forge.verbs.open_segmenter.model_path", model_path)


def test_the_demo_photos_come_from_an_installed_package() -> None:
    assert [photo.name for photo in demo_photos()] == list(DEMO_PHOTOS)


def test_masks_cutouts_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["pictures"] == len(DEMO_PHOTOS)
    assert [row["precision_asked"] for row in result["rows"]] == ["force_float32", "force_float16"]
    assert result["rows"][0]["mean_difference"] is None
    assert 0 <= result["rows"][1]["mean_difference"] < 0.05
    for name in DEMO_PHOTOS:
        with Image.open(tmp_path / "out" / "cutouts" / f"{Path(name).stem}.png") as cutout:
            assert cutout.mode == "RGBA"
        with Image.open(tmp_path / "out" / "masks" / f"{Path(name).stem}.png") as mask:
            assert mask.mode == "L"
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 3 * len(DEMO_PHOTOS)


def test_a_second_run_replaces_the_first(photos: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert u2forge.run(photos, out=tmp_path / "out").pictures == 5
    assert (tmp_path / "out" / "masks" / "below" / "a.png").exists()


def test_a_broken_photo_is_listed_and_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "good.png").write_bytes((photos / "a.png").read_bytes())
    (folder / "bad.png").write_bytes(b"no picture")
    assert main(["run", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "bad.png" in capsys.readouterr().err
    assert "Failed (1)" in (tmp_path / "out" / "report.html").read_text()


def test_nothing_but_broken_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="at least one that can be read"):
        u2forge.run(tmp_path, out=tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("u2forge.verbs.demo_photos.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install .scikit-image"):
        demo_photos()


def test_the_results_are_never_taken_for_photos(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.png").write_bytes((photos / "a.png").read_bytes())
    monkeypatch.chdir(folder)
    for _ in range(2):
        assert u2forge.run(".").pictures == 1
    with pytest.raises(InputError, match="the folder of the pictures"):
        u2forge.run(".", out=".")
