"""What the tests of eval share: a made-up data set, and a model that differs from the tiny one."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import write_dataset
from eval_files import COUNT

import u2forge


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of sound pairs."""
    return write_dataset(tmp_path_factory.mktemp("eval") / "made-up", COUNT)


@pytest.fixture(scope="session")
def other_model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network for another input size and batch: its maps differ from the first one's."""
    path = tmp_path_factory.mktemp("other") / "other.onnx"
    u2forge.build(
        tiny_checkpoint, out=path, input_height=48, input_width=64, batch_size=4, precision="force_float16"
    )
    return path
