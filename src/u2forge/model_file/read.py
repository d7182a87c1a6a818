"""A model file on disk → its manifest, inside or beside it, checked; the weights are hashed, never parsed here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from u2forge.errors import ModelError
from u2forge.model_file.content_digest import digest_without, manifest_entries
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import manifest_digest, manifest_from_json
from u2forge.model_file.protobuf_fields import Field, NotProtobuf
from u2forge.model_file.sidecar import has_sidecar, read_sidecar

DIGEST_KEY = "content_sha256"
MANIFEST_DIGEST_KEY = "manifest_sha256"


@dataclass(frozen=True)
class ModelFile:
    """A model file whose bytes were found to be those that were written. content_sha256: of all but the manifest."""

    path: Path
    manifest: Manifest
    content_sha256: str


def read_manifest(path: Path) -> Manifest:
    """The manifest of a model file, in milliseconds: the weights are skipped, their digest is not checked.

    Raises ModelError where the file is missing, is no ONNX file, has no manifest or one that cannot be read.
    """
    if has_sidecar(path):
        return read_sidecar(path).manifest
    with _opened(path) as (file, size):
        return _manifest(path, file, size)[0]


def open_model_file(path: Path) -> ModelFile:
    """The model file, its content checked against the digest in its manifest (hashes the whole file).

    Raises ModelError as read_manifest does, and where the content is not what was written.
    """
    with _opened(path) as (file, size):
        if has_sidecar(path):
            sidecar = read_sidecar(path)
            manifest, expected = sidecar.manifest, sidecar.content_sha256
            left_out: list[Field] = []
        else:
            manifest, field, expected = _manifest(path, file, size)
            left_out = [field]
        found = digest_without(file, size, left_out)
    if found != expected:
        raise ModelError(
            where=f"model file {path}",
            expected=f"content of sha256 {expected[:16]}…, as its manifest says",
            found=f"sha256 {found[:16]}…: the file was damaged, or changed after it was built",
            fix="build it again with `u2forge build`",
        )
    return ModelFile(path=path, manifest=manifest, content_sha256=found)


def holds_manifest(path: Path) -> bool:
    """Whether an ONNX file is an offline model at all, sound or not. Raises ModelError where it is no ONNX file."""
    with _opened(path) as (file, size):
        return bool(manifest_entries(file, size))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
        raise _not_opened(path, "a folder" if path.is_dir() else "no regular file")
    try:
        with path.open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _not_opened(path, error.strerror or str(error)) from error
    except (NotProtobuf, EOFError) as error:
        raise ModelError(
            where=f"model file {path}",
            expected="an ONNX file that `u2forge build` wrote",
            found=f"no ONNX file, or one cut short ({error})",
            fix="copy or build it again",
        ) from error


def _not_opened(path: Path, found: str) -> ModelError:
    return ModelError(
        where=f"model file {path}",
        expected="a file that `u2forge build` wrote",
        found=found,
        fix="check the path and the right to read it",
    )


def _manifest(path: Path, file: BinaryIO, size: int) -> tuple[Manifest, Field, str]:
    where = f"model file {path}"
    if not size:
        raise ModelError(
            where=where, expected="an ONNX file", found="an empty file", fix="copy or build it again"
        )
    entries = manifest_entries(file, size)
    if len(entries) != 1:
        raise ModelError(
            where=where,
            expected="one manifest of u2forge inside",
            found=f"{len(entries)} of them" if entries else "none: an ONNX graph, but no offline model",
            fix=f"build one from it with `u2forge build {path} -o model.onnx`",
        )
    field, value = entries[0]
    values, manifest_said, manifest_found = _values(value, where)
    digest = values.pop(DIGEST_KEY, None)
    # The manifest first: a version that this u2forge does not know may have other digests.
    manifest = manifest_from_json(values, where=where)
    if not isinstance(digest, str) or manifest_found != manifest_said:
        raise ModelError(
            where=f"{where}, manifest",
            expected=f"{DIGEST_KEY}, and {MANIFEST_DIGEST_KEY} {manifest_found[:16]}… of the rest",
            found=f"{str(manifest_said)[:16]}…: the manifest was damaged, or changed after it was built",
            fix="build the model again with `u2forge build`",
        )
    return manifest, field, digest


def _values(value: bytes, where: str) -> tuple[dict[str, Any], object, str]:
    """The manifest's values, the digest that they are said to have, and the one that they have."""
    try:
        values = json.loads(value)
        if not isinstance(values, dict):
            raise ValueError("no object")
        said = values.pop(MANIFEST_DIGEST_KEY, None)
        return values, said, manifest_digest(values)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            where=f"{where}, manifest",
            expected="a JSON object",
            found=str(error)[:120],
            fix="build the model again with `u2forge build`",
        ) from error
