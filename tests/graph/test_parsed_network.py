"""Operator sets are raised, or the error says why not; files become networks of the one kind or the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign_networks import classifier

from u2forge.errors import InputError, ModelError
from u2forge.graph.parsed_network import FOREIGN, network_from_onnx, recognized
from u2forge.graph.raise_opset import raise_opset
from u2forge.graph.read_onnx import read_onnx


def test_a_raised_graph_computes_the_same(tmp_path: Path) -> None:
    import onnxruntime

    path = classifier(tmp_path / "old.onnx", opset=11)
    raised = raise_opset(read_onnx(path), 21, where="here")
    assert raised.opset_imports[""] == 21
    assert raise_opset(raised, 18, where="here") is raised
    import onnx_ir as ir

    picture = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(data).run(None, {"picture": picture})[0]
        for data in (path.read_bytes(), ir.to_proto(raised).SerializeToString())
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_what_cannot_be_raised_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: onnx.ModelProto, version: int) -> None:
        raise RuntimeError("no adapter for it")

    monkeypatch.setattr("u2forge.graph.raise_opset.version_converter.convert_version", refuse)
    with pytest.raises(ModelError, match=r"operator set 13: no adapter for it.*opset_version=18"):
        network_from_onnx(classifier(tmp_path / "x.onnx"))


def test_networks_are_told_apart(tiny_model: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert recognized(tiny_checkpoint) is not None
    assert network_from_onnx(tiny_model).is_u2net
    other = network_from_onnx(classifier(tmp_path / "other.onnx"))
    assert (other.architecture, other.name, other.origin.format) == (FOREIGN, "other", "onnx")
    with pytest.raises(InputError, match="No such file"):
        network_from_onnx(tmp_path / "none.onnx")
