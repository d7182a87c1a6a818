"""Fixtures that several folders of tests share: the official weights and the research data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from u2forge.engine.registry import ENGINES
from u2forge.errors import FetchError

# Tests that import OpenVINO by themselves must not report it to its makers either.
for module in ENGINES["openvino"].keep_out:
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]
for variable, value in ENGINES["onnxruntime"].environment:
    os.environ.setdefault(variable, value)


@pytest.fixture(scope="session")
def u2net_onnx() -> Path:
    """The official full U²-Net as ONNX, from the product's own cache (fetched there once)."""
    from u2forge.weights.fetch import fetch_weights

    try:
        return fetch_weights("u2net")
    except FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the official weights could not be fetched: {error}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of research data beside the checkout; not part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the research data sets are not beside this checkout (shared/data)")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U²-Net of the full depth, a few channels wide, with random weights and batch-norms, as .safetensors."""
    from u2forge.graph.architecture import architecture_of, expected_parameters
    from u2forge.weights.checkpoint import write_safetensors

    architecture = architecture_of("tiny", mids=(4,) * 11, outs=(8,) * 11)
    generator = np.random.default_rng(7)
    arrays = {}
    for name, shape in expected_parameters(architecture, batch_norm=True).items():
        if name.endswith(("running_var", "bn_s1.weight")):
            array = generator.uniform(0.5, 1.5, shape)
        else:
            fan_in = int(np.prod(shape[1:])) or 1
            array = generator.normal(0, (2 / fan_in) ** 0.5 if len(shape) == 4 else 0.1, shape)
        arrays[name] = array.astype(np.float32)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    write_safetensors(arrays, path)
    return path


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> Path:
    """An offline model of the tiny network: float32, batch 1, 64 × 96 pixels."""
    import u2forge

    path = tiny_checkpoint.with_name("tiny.onnx")
    u2forge.build(tiny_checkpoint, out=path, input_height=64, input_width=96)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small pictures of different sizes, one of them in a folder below."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    generator = np.random.default_rng(3)
    sizes = {
        "a.png": (40, 60),
        "b.jpg": (90, 50),
        "c.webp": (33, 77),
        "d.bmp": (64, 64),
        "below/a.png": (20, 30),
    }
    for name, (height, width) in sizes.items():
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def magicmind_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The recorder of a double of Cambricon's SDK, importable as magicmind while the test runs, in processes that it
    starts, too."""
    pytest.importorskip("onnxruntime", reason="the double computes with ONNX Runtime")
    folder = str(Path(__file__).parent / "engine" / "magicmind_double")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)
    from magicmind.recorder import RECORDER

    yield RECORDER
    for name in [name for name in sys.modules if name.partition(".")[0] == "magicmind"]:
        del sys.modules[name]
