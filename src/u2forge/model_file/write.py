"""A graph and its manifest → one offline model file, atomically, the same bytes each time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.atomic_file import atomic_path
from u2forge.errors import ModelError
from u2forge.model_file.content_digest import MANIFEST_KEY, manifest_entry_bytes
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import manifest_digest, manifest_text, manifest_to_json
from u2forge.model_file.read import DIGEST_KEY, MANIFEST_DIGEST_KEY
from u2forge.model_file.sidecar import remove_sidecar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir

    from u2forge.tensor_spec import TensorSpec

# Protobuf messages end at 2 GiB (source: protobuf.dev, "Proto Limits"); the manifest takes less than the rest.
_MAX_BYTES = 2**31 - 2**20


def write_model(model: onnx_ir.Model, manifest: Manifest, path: Path) -> None:
    """Writes an ONNX file that any ONNX tool loads, with the manifest in its metadata.

    The manifest is put behind the serialised graph, as protobuf allows, with the digest of all that precedes it.
    Raises ModelError where the graph is over 2 GiB or has other inputs or outputs than the manifest says,
    OutputError where the file cannot be written.
    """
    import onnx_ir

    _check_names("inputs", manifest.inputs, model.graph.inputs)
    _check_names("outputs", manifest.outputs, model.graph.outputs)
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
    values[MANIFEST_DIGEST_KEY] = manifest_digest(values)
    entry = manifest_entry_bytes(manifest_text(values).encode("ascii"))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.write(entry)
    # Of a model of another target that had this name.
    remove_sidecar(path)


def _check_names(kind: str, specs: Sequence[TensorSpec], values: Sequence[onnx_ir.Value]) -> None:
    said, there = [spec.name for spec in specs], [str(value.name) for value in values]
    if said != there:
        raise ModelError(
            where=f"writing a model, {kind}",
            expected=f"the manifest's: {', '.join(said)}",
            found=f"the graph's: {', '.join(there)}",
            fix="describe the graph's own inputs and outputs, in their order, in the manifest",
        )
