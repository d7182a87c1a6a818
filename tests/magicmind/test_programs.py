"""The example programs, as they are: every precision, batches of 1 and 4, the same masks as `u2forge infer`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import u2forge
from u2forge.cli import mm_run
from u2forge.magicmind.magicmind_run import magicmind_run
from u2forge.model_file.read import read_manifest

PROGRAMS = Path(__file__).resolve().parents[2] / "examples" / "magicmind"
# Five pictures: neither one batch of four nor two.
PICTURES = 5
PRECISIONS = [
    ("force_float32", 4),
    ("force_float16", 1),
    ("qint8_mixed_float16", 4),
    ("qint8_mixed_float32", 1),
    ("qint16_mixed_float32", 4),
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x.jpg with its label x.png beside it, and a list of the photos."""
    folder = tmp_path_factory.mktemp("flat")
    random = np.random.default_rng(4)
    for index in range(PICTURES):
        height, width = 70 + 11 * index, 90 - 7 * index
        coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg")
        label = np.zeros((height, width), np.uint8)
        label[20:50, 10:40] = 255
        Image.fromarray(label).save(folder / f"{index}.png")
    (folder / "list.txt").write_text("".join(f"{index}.jpg\n" for index in range(PICTURES)))
    return folder


def run(name: str, **options: object) -> None:
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    assert magicmind_run(PROGRAMS / name, words) == 0


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@pytest.mark.parametrize(("precision", "batch"), PRECISIONS)
def test_the_programs_give_the_masks_of_infer(
    tiny_graph: Path,
    flat: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    precision: str,
    batch: int,
) -> None:
    model = tmp_path / "tiny.model"
    run(
        "gen_model.py",
        pt_model=tiny_graph,
        output_model=model,
        precision=precision,
        file_list=flat / "list.txt",
        batch_size=batch,
        input_width=96,
        input_height=64,
        device_id=0,
    )
    run(
        "infer.py",
        magicmind_model=model,
        output_folder=tmp_path / "out",
        img_dir=flat,
        batch_size=batch,
        device_id=0,
    )
    record = read_manifest(model).quantization
    # The last batch is filled up; pictures count one by one.
    assert record is None or record.calibration.count == (8 if batch == 4 else PICTURES)
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"average mae: \d\.\d{4}, max fmeasure: \d\.\d{4}", line)
    assert (tmp_path / "out" / "result.txt").read_text() == f"{line}\n"
    summary = u2forge.infer(sorted(flat.glob("*.jpg")), out=tmp_path / "own", model=model)
    assert summary.done == PICTURES
    found, expected = masks_of(tmp_path / "out"), masks_of(tmp_path / "own")
    assert list(found) == list(expected)
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)
    if precision == "force_float32":
        pytest.importorskip("scipy")
        (row,) = u2forge.eval(model, dataset=flat).rows
        assert line == f"average mae: {row.metrics['mae']:.4f}, max fmeasure: {row.metrics['max_f']:.4f}"


def test_mm_run_reads_what_gen_model_wrote(
    tiny_graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "tiny.model"
    run(
        "gen_model.py", pt_model=tiny_graph, output_model=model, batch_size=4, input_width=96, input_height=64
    )
    words = [
        "--magicmind_model",
        str(model),
        "--batch",
        "4",
        "--iterations",
        "2",
        "--duration",
        "1",
        "--warmup",
        "1",
    ]
    assert mm_run.main(words) == 0
    assert re.search(r"^Throughput \(qps\): +[\d.]+$", capfd.readouterr().out, re.MULTILINE)


def test_the_programs_say_what_is_wrong(
    tiny_model: Path, flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--pt_model", str(tmp_path / "none.pt"), "--output_model", str(tmp_path / "x")]
    assert magicmind_run(PROGRAMS / "gen_model.py", words) == 1
    assert "parse: NOT_FOUND: parse of" in capsys.readouterr().err
    words = [
        "--magicmind_model",
        str(tiny_model),
        "--img_dir",
        str(flat),
        "--output_folder",
        str(tmp_path / "out"),
    ]
    assert magicmind_run(PROGRAMS / "infer.py", [*words, "--batch_size", "2"]) == 1
    assert "the model takes batches of 1, not of 2" in capsys.readouterr().err


@pytest.mark.weights
def test_the_official_weights(u2net_onnx: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate(("b.jpg", "a.png")):
        with Image.open(photos / name) as picture:
            picture.convert("RGB").save(folder / f"{index}.jpg")
            Image.new("L", picture.size).save(folder / f"{index}.png")
    model = tmp_path / "u2net.model"
    run("gen_model.py", pt_model=u2net_onnx, output_model=model)
    run("infer.py", magicmind_model=model, output_folder=tmp_path / "out", img_dir=folder)
    u2forge.infer(sorted(folder.glob("*.jpg")), out=tmp_path / "own", model=model)
    found, expected = masks_of(tmp_path / "out"), masks_of(tmp_path / "own")
    for name, mask in expected.items():
        np.testing.assert_array_equal(mask, found[name])
