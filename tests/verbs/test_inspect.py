"""inspect: models and bare graphs, to read and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import u2forge
from u2forge.cli.main import main
from u2forge.errors import ModelError


def test_an_offline_model(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["manifest"]["precision"] == "force_float32"
    assert found["digest_checked"] is True
    assert found["summary"]["operators"] == {
        "Conv": 119,
        "Relu": 112,
        "Concat": 51,
        "Resize": 38,
        "MaxPool": 33,
        "Add": 11,
        "Sigmoid": 1,
    }
    assert (found["summary"]["height"], found["summary"]["width"]) == (64, 96)
    assert sum(layer["macs"] for layer in found["summary"]["layers"]) == found["summary"]["macs"]


def test_to_read(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_model)]) == 0
    text = capsys.readouterr().out
    assert "tiny (" in text
    assert "stage1.rebnconvin" in text
    assert "119 Conv" in text


def test_a_bare_graph(tiny_checkpoint: Path, tmp_path: Path) -> None:
    found = u2forge.inspect(u2forge.export(tiny_checkpoint, out=tmp_path / "net.onnx"))
    assert found.manifest is None
    assert "not an offline model" in str(found)
    assert found.summary.operators["BatchNormalization"] == 112


def test_a_damaged_model(tiny_model: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "damaged.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        u2forge.inspect(tmp_path / "damaged.onnx")
