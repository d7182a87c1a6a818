"""export: every format of the same weights gives the same maps, and upstream's names come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import u2forge
from u2forge.errors import InputError, ModelError
from u2forge.weights.checkpoint import read_checkpoint


def maps_of(graph: Path) -> list[np.ndarray]:
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 80)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def test_the_graph_goes_through_every_format(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    graph = u2forge.export(tiny_checkpoint, out=tmp_path / "net.onnx")
    expected = maps_of(graph)
    assert len(expected) == 7
    for to in ("pth", "safetensors"):
        checkpoint = u2forge.export(graph, out=tmp_path / f"net.{to}", to=to)  # type: ignore[arg-type]
        again = u2forge.export(checkpoint, out=tmp_path / f"from_{to}.onnx")
        for ours, theirs in zip(maps_of(again), expected, strict=True):
            assert np.abs(ours - theirs).max() < 1e-5


def test_a_folded_network_gets_identity_batch_norms(tiny_model: Path, tmp_path: Path) -> None:
    checkpoint = u2forge.export(tiny_model, out=tmp_path / "net.safetensors", to="safetensors")
    arrays = read_checkpoint(checkpoint).arrays
    assert np.all(arrays["stage1.rebnconvin.bn_s1.weight"] == 1)
    assert np.allclose(arrays["stage1.rebnconvin.bn_s1.running_var"] + 1e-5, 1, atol=1e-7)


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"layer.weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="U²-Net"):
        u2forge.export(tmp_path / "other.safetensors", out=tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_an_unknown_target_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="onnx, pth, safetensors"):
        u2forge.export(tiny_checkpoint, out=tmp_path / "net.h5", to="h5")  # type: ignore[arg-type]


def test_a_name_that_says_another_format_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add --to pth"):
        u2forge.export(tiny_checkpoint, out=tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []
