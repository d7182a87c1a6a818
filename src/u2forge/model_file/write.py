"""A graph and its manifest → one offline model file, atomically, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.atomic_file import atomic_path
from u2forge.errors import ModelError
from u2forge.model_file.content_digest import MANIFEST_KEY, manifest_entry_bytes
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import manifest_to_json
from u2forge.model_file.read import DIGEST_KEY

if TYPE_CHECKING:
    import onnx_ir

# Protobuf messages end here. Source: protobuf.dev, "Proto Limits".
_MAX_BYTES = 2**31 - 1


def write_model(model: onnx_ir.Model, manifest: Manifest, path: Path) -> None:
    """Writes an ONNX file that any ONNX tool loads, with the manifest in its metadata.

    The manifest is put behind the serialised graph, as protobuf allows, with the digest of all that precedes it.
    Raises ModelError where the graph is over 2 GiB, OutputError where it cannot be written.
    """
    import onnx_ir

    proto = onnx_ir.serde.serialize_model(model)
    kept = [entry for entry in proto.metadata_props if entry.key.encode() != MANIFEST_KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    size = proto.ByteSize()
    if size > _MAX_BYTES:
        raise ModelError(
            where=f"model {manifest.name!r} for {path}",
            expected="at most 2 GiB, all that one ONNX file can hold",
            found=f"{size / 2**30:.2f} GiB",
            fix="build it with --precision force_float16",
        )
    content = proto.SerializeToString(deterministic=True)
    values = {**manifest_to_json(manifest), DIGEST_KEY: hashlib.sha256(content).hexdigest()}
    entry = manifest_entry_bytes(json.dumps(values, ensure_ascii=False).encode())
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.write(entry)
