"""The manifest of a model file that is no ONNX file: a JSON file beside it, with digests of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from u2forge.atomic_file import write_atomic, writing
from u2forge.errors import ModelError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import (
    manifest_digest,
    manifest_from_json,
    manifest_text,
    manifest_to_json,
)

_SUFFIX = ".u2forge.json"
_VERSION_KEY, _MANIFEST_KEY, _SIDECAR_DIGEST_KEY = "u2forge_sidecar", "manifest", "sidecar_sha256"
_SIZE_KEY, _DIGEST_KEY = "size_bytes", "content_sha256"
_VERSION = 1
# A manifest is a few kilobytes; what is larger is none.
_MAX_BYTES = 1 << 20
_FIX = "copy both files again, or build the model again with `u2forge build --target`"


@dataclass(frozen=True)
class Sidecar:
    """What stands beside a model file: its manifest, its size and the SHA-256 of its bytes, in hex."""

    manifest: Manifest
    size_bytes: int
    content_sha256: str


def sidecar_path(path: Path) -> Path:
    """Where the manifest of that model file would be."""
    return path.with_name(f"{path.name}{_SUFFIX}")


def has_sidecar(path: Path) -> bool:
    """Whether there is one: then the file is of another format than ONNX."""
    return sidecar_path(path).is_file()


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Writes the manifest of a model file that lies there already. Raises OutputError."""
    values: dict[str, Any] = {
        _VERSION_KEY: _VERSION,
        _SIZE_KEY: sidecar.size_bytes,
        _DIGEST_KEY: sidecar.content_sha256,
        _MANIFEST_KEY: manifest_to_json(sidecar.manifest),
    }
    values[_SIDECAR_DIGEST_KEY] = manifest_digest(values)
    write_atomic(sidecar_path(path), f"{manifest_text(values)}\n".encode("ascii"))


def remove_sidecar(path: Path) -> None:
    """Takes away the manifest of a model that a file with one inside has replaced. Raises OutputError."""
    with writing(path):
        sidecar_path(path).unlink(missing_ok=True)


def read_sidecar(path: Path) -> Sidecar:
    """What stands beside a model file. The file's size is checked, its content is not.

    Raises ModelError where the sidecar is damaged or of another u2forge, or the file is missing or of another size.
    """
    where = f"model file {path}, manifest {sidecar_path(path).name}"
    values = _values(sidecar_path(path), where)
    said = values.pop(_SIDECAR_DIGEST_KEY, None)
    # The version first: another one may have other digests.
    _require(where, f"version {_VERSION}", values.pop(_VERSION_KEY, None), _VERSION)
    _require(
        where, f"{_SIDECAR_DIGEST_KEY} of the rest", said, manifest_digest({_VERSION_KEY: _VERSION, **values})
    )
    sidecar = Sidecar(
        manifest=manifest_from_json(values.get(_MANIFEST_KEY), where=where),
        size_bytes=values.get(_SIZE_KEY, 0),
        content_sha256=values.get(_DIGEST_KEY, ""),
    )
    if sidecar.manifest.target == "portable":
        raise _wrong(where, "a model of another target, as portable ones have theirs inside", "portable")
    try:
        found = path.stat().st_size
    except OSError as error:
        raise _wrong(
            f"model file {path}", "the model beside its manifest", error.strerror or str(error)
        ) from error
    if found != sidecar.size_bytes:
        raise _wrong(where, f"a model of {sidecar.size_bytes} bytes, as it says", f"{found} bytes")
    return sidecar


def _values(path: Path, where: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        values = json.loads(text)
        if not isinstance(values, Mapping):
            raise ValueError("no object")
        return dict(values)
    except OSError as error:
        raise _wrong(where, "a file that can be read", error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(where, "a JSON object", str(error)[:120]) from error


def _require(where: str, expected: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise _wrong(
            where, f"{expected} ({str(wanted)[:16]})", f"{str(found)[:16]}: damaged, or changed by hand"
        )


def _wrong(where: str, expected: str, found: str) -> ModelError:
    return ModelError(where=where, expected=expected, found=found, fix=_FIX)
