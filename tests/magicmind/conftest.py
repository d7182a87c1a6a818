"""What the tests of the adapter share: no device is active at first, and small networks on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import foreign_networks
import pytest

import u2forge
from u2forge.magicmind.devices import device_zero


@pytest.fixture(autouse=True)
def no_active_device() -> Iterator[None]:
    with device_zero("auto", "auto"):
        yield


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_networks.classifier(tmp_path_factory.mktemp("foreign") / "classifier.onnx")


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign_networks.detector(tmp_path_factory.mktemp("foreign") / "detector.onnx")


@pytest.fixture(scope="session")
def tiny_graph(tiny_checkpoint: Path) -> Path:
    """The tiny U²-Net as a float ONNX graph."""
    return u2forge.export(tiny_checkpoint, out=tiny_checkpoint.with_name("tiny-graph.onnx"))
