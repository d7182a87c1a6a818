"""Where the manifest lies in a model file, and the digest of everything else in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import BinaryIO

from u2forge.model_file.protobuf_fields import Field, fields

# ModelProto.metadata_props and its StringStringEntryProto's key and value. Source: onnx.proto.
METADATA_PROPS = 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
MANIFEST_KEY = b"u2forge.manifest"
# A manifest is a few kilobytes; what is larger is none.
_MAX_ENTRY_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20


def manifest_entries(file: BinaryIO, size: int) -> list[tuple[Field, bytes]]:
    """Each metadata entry that holds a manifest: its place and its value. Raises NotProtobuf."""
    found = []
    for field in fields(file, size):
        if field.number != METADATA_PROPS or field.end - field.payload > _MAX_ENTRY_BYTES:
            continue
        file.seek(field.payload)
        key, value = _entry(file.read(field.end - field.payload))
        if key == MANIFEST_KEY:
            found.append((field, value))
    return found


def manifest_entry_bytes(value: bytes) -> bytes:
    """The bytes that, put behind a serialised ModelProto, add `value` as its manifest."""
    entry = _length_field(_ENTRY_KEY, MANIFEST_KEY) + _length_field(_ENTRY_VALUE, value)
    return _length_field(METADATA_PROPS, entry)


def digest_without(file: BinaryIO, size: int, left_out: Sequence[Field]) -> str:
    """The SHA-256, in hex, of the first `size` bytes of the file but those of the fields `left_out`."""
    digest = hashlib.sha256()
    position = 0
    for start, end in [*((field.start, field.end) for field in left_out), (size, size)]:
        file.seek(position)
        remaining = start - position
        while remaining:
            block = file.read(min(remaining, _BLOCK_BYTES))
            if not block:
                raise EOFError("the file became shorter while it was read")
            digest.update(block)
            remaining -= len(block)
        position = end
    return digest.hexdigest()


def _entry(data: bytes) -> tuple[bytes, bytes]:
    values = {field.number: data[field.payload : field.end] for field in fields(io.BytesIO(data), len(data))}
    return values.get(_ENTRY_KEY, b""), values.get(_ENTRY_VALUE, b"")


def _length_field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
