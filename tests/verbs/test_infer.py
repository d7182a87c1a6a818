"""infer, through the command line: results, reports, exit codes, models that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from installed_engines import INSTALLED, options_for
from PIL import Image

import u2forge
from u2forge.cli.main import main
from u2forge.errors import InputError, ModelError
from u2forge.pipeline.folder_summary import FolderSummary

NAMES = ["a.png", "b.png", "below/a.png", "c.png", "d.png"]


def results(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".png", ".jpg")
    )


def test_a_folder_to_masks(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["infer", str(photos), "-o", str(tmp_path / "out"), "--model", str(tiny_model), "--json"]) == 0
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert results(tmp_path / "out") == NAMES
    assert [line["status"] for line in lines[:-1]] == ["done"] * 5
    assert all(set(line["stage_ms"]) >= {"decode", "inference", "encode"} for line in lines[:-1])
    summary = lines[-1]["summary"]
    assert (summary["done"], summary["failed"]) == (5, 0)
    assert summary["precision_executed"] == "float32"
    for name in NAMES:
        with Image.open(tmp_path / "out" / name) as mask:
            assert mask.mode == "L"
    with Image.open(tmp_path / "out" / "b.png") as mask:
        assert mask.size == (50, 90)


def test_one_bad_picture_is_reported_and_the_rest_is_done(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    words = [
        "infer",
        str(tmp_path / "bad.png"),
        str(photos),
        "-o",
        str(tmp_path / "out"),
        "--model",
        str(tiny_model),
    ]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "5 done, 1 failed" in captured.out
    assert f"failed: reading {tmp_path / 'bad.png'}: expected a whole picture" in captured.err
    assert results(tmp_path / "out") == NAMES


@pytest.mark.parametrize(
    ("words", "mode", "suffix"),
    [
        (["--output", "cutout"], "RGBA", ".png"),
        (["--output", "cutout", "--format", "webp"], "RGBA", ".webp"),
        (["--output", "composite", "--background", "#102030", "--format", "jpeg"], "RGB", ".jpg"),
        (["--output", "probability"], "I;16", ".png"),
        (["--post", "threshold"], "L", ".png"),
    ],
)
def test_every_kind_of_output(
    words: list[str], mode: str, suffix: str, tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"result{suffix}"
    assert main(["infer", str(photos / "b.jpg"), "-o", str(target), "--model", str(tiny_model), *words]) == 0
    with Image.open(target) as result:
        assert result.mode == mode
        assert result.size == (50, 90)


def test_results_that_are_there_are_kept(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    words = ["infer", str(photos), "-o", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert main(words) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert main(words) == 6
    assert main([*words, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == before
    assert main([*words, "--resume", "--post", "raw"]) == 2
    assert main([*words, "--existing", "replace"]) == 0
    assert all(path.stat().st_mtime_ns > before[path] for path in before)


def test_engines_agree(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    first, *others = INSTALLED
    for engine in (first, *others):
        device = options_for(engine).device
        u2forge.infer(
            photos, out=tmp_path / engine, model=tiny_model, engine=engine, device=device, post="raw"
        )
    for name in NAMES:
        ours = np.asarray(Image.open(tmp_path / first / name), int)
        for engine in others:
            assert np.abs(ours - np.asarray(Image.open(tmp_path / engine / name), int)).max() <= 1


def test_batches_give_what_single_pictures_give(tiny_checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    for batch_size in (1, 4, "dynamic"):
        model = tmp_path / f"{batch_size}.onnx"
        u2forge.build(tiny_checkpoint, out=model, input_height=64, input_width=96, batch_size=batch_size)  # type: ignore[arg-type]
    u2forge.infer(photos, out=tmp_path / "one", model=tmp_path / "1.onnx")
    u2forge.infer(photos, out=tmp_path / "four", model=tmp_path / "4.onnx")
    u2forge.infer(photos, out=tmp_path / "three", model=tmp_path / "dynamic.onnx", batch_size=3)
    for name in NAMES:
        one, four, three = (
            np.asarray(Image.open(tmp_path / run / name), int) for run in ("one", "four", "three")
        )
        assert np.abs(one - four).max() <= 1
        assert np.abs(one - three).max() <= 1


def test_a_model_of_another_size_adapts_the_pictures(
    tiny_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    u2forge.build(tiny_checkpoint, out=tmp_path / "m.onnx", input_height=33, input_width=129)
    u2forge.infer(photos, out=tmp_path / "out", model=tmp_path / "m.onnx")
    with Image.open(tmp_path / "out" / "b.png") as mask:
        assert mask.size == (50, 90)


def test_models_that_do_not_fit(
    tiny_model: Path, tiny_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="leave --batch-size out"):
        u2forge.infer(photos, out=tmp_path / "out", model=tiny_model, batch_size=4)
    with pytest.raises(InputError, match="build another model with --precision force_float16"):
        u2forge.infer(photos, out=tmp_path / "out", model=tiny_model, precision="force_float16")
    with pytest.raises(InputError, match="no such file"):
        u2forge.infer(photos, out=tmp_path / "out", model="nothing.onnx")
    graph = u2forge.export(tiny_checkpoint, out=tmp_path / "graph.onnx")
    with pytest.raises(ModelError, match="u2forge build"):
        u2forge.infer(photos, out=tmp_path / "out", model=graph)
    assert not (tmp_path / "out").exists()


def test_a_list_with_a_missing_picture_does_the_others(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text(f"{photos / 'a.png'}\nmissing.png\n", encoding="utf-8")
    words = ["infer", str(tmp_path / "list.txt"), "-o", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert main(words) == 1
    assert "missing.png: expected a picture file; found no such file" in capsys.readouterr().err
    assert results(tmp_path / "out") == ["a.png"]


def test_resume_of_a_single_file_never_keeps_another_kind(
    tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    words = ["infer", str(photos / "b.jpg"), "-o", str(tmp_path / "b.png"), "--model", str(tiny_model)]
    assert main(words) == 0
    assert main([*words, "--resume", "--output", "cutout"]) == 0
    with Image.open(tmp_path / "b.png") as result:
        assert result.mode == "RGBA"


def test_more_pictures_of_the_same_job_keep_its_results_finished(
    tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    def run(name: str, existing: str) -> FolderSummary:
        return u2forge.infer(photos / name, out=tmp_path / "out", model=tiny_model, existing=existing)  # type: ignore[arg-type]

    assert run("b.jpg", "refuse").done == 1
    assert run("c.webp", "refuse").done == 1
    assert run("b.jpg", "resume").skipped == 1


@pytest.mark.parametrize("words", [["--engine", "onnxruntime", "--device", "tpu"], ["--device", "tpu"]])
def test_a_missing_device_is_said_before_anything_is_fetched(
    words: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2FORGE_CACHE", str(tmp_path / "cache"))
    assert main(["infer", str(photos), "-o", str(tmp_path / "out"), *words]) in (2, 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--output", "probability", "--post", "raw"],
        ["--quality", "50"],
        ["--background", "red"],
        ["--threads", "0"],
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    assert main(["infer", str(photos), "-o", str(tmp_path / "out"), "--model", str(tiny_model), *words]) == 2
    assert not (tmp_path / "out").exists()


def test_camera_metadata_goes_into_every_format(tiny_model: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "a camera maker"
    exif.get_ifd(0x8769)[36867] = "2024:01:01 00:00:00"
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "photo.jpg", exif=exif)
    for format, suffix in (("png", "png"), ("webp", "webp"), ("avif", "avif"), ("tiff", "tiff")):
        target = tmp_path / f"cut.{suffix}"
        u2forge.infer(tmp_path / "photo.jpg", out=target, model=tiny_model, output="cutout", format=format)  # type: ignore[arg-type]
        with Image.open(target) as result:
            assert result.getexif()[271] == "a camera maker", format


def test_a_damaged_cached_model_is_built_again(
    tiny_checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2FORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("u2forge.verbs.model_path.fetch_weights", lambda name, progress: tiny_checkpoint)
    u2forge.infer(photos / "a.png", out=tmp_path / "1.png", model="u2netp")
    (model,) = (tmp_path / "cache" / "models").glob("*.onnx")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.write_bytes(content)
    u2forge.infer(photos / "a.png", out=tmp_path / "2.png", model="u2netp")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    model.write_bytes(content[:1000])
    u2forge.infer(photos / "a.png", out=tmp_path / "3.png", model="u2netp")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "3.png").read_bytes()
