"""build: every option shows in the file, the same bytes each time, refusals that say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from installed_engines import INSTALLED, options_for

import u2forge
from u2forge.errors import InputError
from u2forge.model_file.read import open_model_file


def built(checkpoint: Path, folder: Path, **options: object) -> tuple[Path, u2forge.Manifest]:
    path = folder / "model.onnx"
    sizes: dict[str, object] = {"input_height": 64, "input_width": 96}
    return path, u2forge.build(checkpoint, out=path, **(sizes | options))  # type: ignore[arg-type]


def test_the_manifest_says_what_was_built(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path, manifest = built(tiny_checkpoint, tmp_path, pre="rembg", post="raw")
    assert open_model_file(path).manifest == manifest
    assert manifest.name == "tiny"
    assert manifest.precision == "force_float32"
    assert (manifest.pre, manifest.post) == ("rembg", "raw")
    assert (manifest.origin.file, manifest.origin.format) == ("tiny.safetensors", "safetensors")
    assert str(manifest.inputs[0]) == "float32 (1, 3, 64, 96) NCHW"
    assert [str(spec) for spec in manifest.outputs] == ["float32 (1, 1, 64, 96) NCHW"]


def test_the_same_bytes_each_time(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, _ = built(tiny_checkpoint, tmp_path)
    second, _ = built(tiny_checkpoint, tmp_path / "again")
    assert first.read_bytes() == second.read_bytes()


def test_any_onnx_tool_loads_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path, _ = built(tiny_checkpoint, tmp_path, outputs="all")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    maps = session.run(None, {"image": np.zeros((1, 3, 64, 96), np.float32)})
    assert [array.shape for array in maps] == [(1, 1, 64, 96)] * 7


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 4}, "float32 (4, 3, 64, 96) NCHW"),
        ({"batch_size": "dynamic"}, "float32 (any, 3, 64, 96) NCHW"),
        ({"embed_preprocessing": True}, "uint8 (1, 64, 96, 3) NHWC"),
        ({"input_height": 33, "input_width": 101}, "float32 (1, 3, 33, 101) NCHW"),
    ],
)
@pytest.mark.parametrize("engine", INSTALLED)
def test_every_variant_runs(
    options: dict[str, object], expected: str, engine: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path, manifest = built(tiny_checkpoint, tmp_path, **options)
    assert str(manifest.inputs[0]) == expected
    pictures = [
        u2forge.Picture(np.full((50, 70, 3), shade, np.uint8), None, None, None, f"{shade}")
        for shade in (9, 99, 200)
    ]
    with u2forge.open_segmenter(path, engine=engine, device=options_for(engine).device) as segmenter:
        masks = [found.mask for found in segmenter.segment_batch(pictures)]
    assert [mask.shape for mask in masks] == [(50, 70)] * 3


def test_float16_halves_the_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    wide, _ = built(tiny_checkpoint, tmp_path)
    weights = sum(tensor.ByteSize() for tensor in onnx.load(wide).graph.initializer)
    narrow, manifest = built(tiny_checkpoint, tmp_path, precision="force_float16")
    assert manifest.precision == "force_float16"
    assert sum(tensor.ByteSize() for tensor in onnx.load(narrow).graph.initializer) < 0.7 * weights


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"precision": "int7"},
            "force_float32, force_float16, qint8_mixed_float32, qint8_mixed_float16, "
            "qint16_mixed_float32, qint16_mixed_float16; found 'int7'",
        ),
        ({"batch_size": 0}, "dynamic, or a number of 1 to 1024; found 0"),
        ({"outputs": "d7"}, "one of d0, all"),
        ({"pre": "none"}, "official, antialias, rembg"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, object], words: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        built(tiny_checkpoint, tmp_path, **options)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_sizes_beyond_the_limits_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="32 to 1024 pixels; found 16"):
        built(tiny_checkpoint, tmp_path, input_height=16)
    assert list(tmp_path.iterdir()) == []


def test_an_offline_model_is_a_float_graph_too(tiny_model: Path, tmp_path: Path) -> None:
    path, manifest = built(tiny_model, tmp_path, input_height=64, input_width=96)
    assert manifest.architecture == open_model_file(tiny_model).manifest.architecture
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    runs = [onnxruntime.InferenceSession(str(p)).run(None, {"image": image})[0] for p in (tiny_model, path)]
    assert np.abs(runs[0] - runs[1]).max() < 1e-6


def test_neither_a_file_nor_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a file, or one of the names u2net, u2netp, u2net_human_seg"):
        u2forge.build("u3net", out=tmp_path / "model.onnx")
