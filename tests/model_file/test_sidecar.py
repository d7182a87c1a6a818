"""The manifest beside a model file of another format: what is read back, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from small_model_files import manifest_of
from u2forge.errors import ModelError
from u2forge.model_file.manifest_json import manifest_from_json, manifest_to_json
from u2forge.model_file.read import open_model_file, read_manifest
from u2forge.model_file.sidecar import Sidecar, has_sidecar, read_sidecar, sidecar_path, write_sidecar
from u2forge.tensor_spec import TensorSpec
from u2forge.weights.digest import sha256_of

PORTABLE = manifest_of(
    [TensorSpec("image", (1, 3, 32, 32), "float32", "NCHW")],
    [TensorSpec("d0", (1, 1, 32, 32), "float32", "NCHW")],
)
MANIFEST = replace(PORTABLE, target="mlu370")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.mm"
    path.write_bytes(b"opaque")
    write_sidecar(path, Sidecar(MANIFEST, 6, sha256_of(path)))
    return path


def changed(model: Path, **values: Any) -> None:
    path = sidecar_path(model)
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_was_written_is_read(model: Path) -> None:
    assert has_sidecar(model)
    assert read_manifest(model) == MANIFEST
    found = open_model_file(model)
    assert (found.manifest, found.content_sha256) == (MANIFEST, sha256_of(model))


def test_a_target_is_said_where_it_is_not_portable() -> None:
    assert "target" not in manifest_to_json(PORTABLE)
    values = json.loads(json.dumps(manifest_to_json(MANIFEST)))
    assert manifest_from_json(values, where="here") == MANIFEST
    with pytest.raises(ModelError, match=r"manifest\.target: expected one of portable, mlu370; found mlu590"):
        manifest_from_json({**values, "target": "mlu590"}, where="here")


def test_a_changed_model_is_refused(model: Path) -> None:
    model.write_bytes(b"Opaque")
    with pytest.raises(ModelError, match="was damaged, or changed after it was built"):
        open_model_file(model)
    model.write_bytes(b"longer than that")
    with pytest.raises(ModelError, match="expected a model of 6 bytes, as it says; found 16 bytes"):
        read_manifest(model)
    model.unlink()
    with pytest.raises(ModelError, match="expected the model beside its manifest; found No such file"):
        read_manifest(model)


def test_a_changed_sidecar_is_refused(model: Path) -> None:
    changed(model, size_bytes=7)
    with pytest.raises(ModelError, match="damaged, or changed by hand"):
        read_sidecar(model)
    changed(model, u2forge_sidecar=9)
    with pytest.raises(ModelError, match=r"expected version 1 .* found 9"):
        read_sidecar(model)
    for text, found in (("{", "Expecting"), ("[]", "no object"), (" " * (2 << 20), "more than")):
        sidecar_path(model).write_text(text)
        with pytest.raises(ModelError, match=f"expected a JSON object; found {found}"):
            read_sidecar(model)


def test_a_portable_manifest_has_no_business_there(model: Path) -> None:
    write_sidecar(model, Sidecar(PORTABLE, 6, sha256_of(model)))
    with pytest.raises(ModelError, match="expected a model of another target"):
        read_sidecar(model)
