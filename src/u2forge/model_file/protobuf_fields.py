"""The outermost fields of a protobuf file, one after the other, without reading what is inside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Wire types. Source: protobuf.dev, Encoding.
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
# A model has some dozens; a file made of tiny fields must not take minutes to walk.
_MAX_FIELDS = 100_000


@dataclass(frozen=True)
class Field:
    """One field: its number, where it starts (its tag), where its payload starts, and where it ends; in bytes."""

    number: int
    start: int
    payload: int
    end: int


class NotProtobuf(ValueError):
    """The bytes are no protobuf message; the message says at which byte it ends to be one."""


def fields(file: BinaryIO, size: int) -> Iterator[Field]:
    """Every outermost field of a message of `size` bytes, by seeking over the payloads.

    Raises NotProtobuf on a truncated field, an unknown wire type, a field number of 0, or too many fields.
    """
    position = count = 0
    while position < size:
        start = position
        count += 1
        if count > _MAX_FIELDS:
            raise NotProtobuf(f"byte {start}: more than {_MAX_FIELDS} fields")
        file.seek(start)
        tag, position = _varint(file, position)
        number, wire = tag >> 3, tag & 7
        payload = position
        if wire == _LENGTH:
            length, payload = _varint(file, position)
            position = payload + length
        elif wire == _VARINT:
            _, position = _varint(file, position)
        elif wire in (_FIXED32, _FIXED64):
            position += 4 if wire == _FIXED32 else 8
        else:
            raise NotProtobuf(f"byte {start}: wire type {wire}")
        if number == 0:
            raise NotProtobuf(f"byte {start}: field number 0")
        if position > size:
            raise NotProtobuf(f"byte {start}: field {number} ends at byte {position}, the file at {size}")
        yield Field(number, start, payload, position)


def _varint(file: BinaryIO, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            raise NotProtobuf(f"byte {position + index}: the file ends inside a number")
        value |= (byte[0] & 0x7F) << (7 * index)
        if byte[0] < 0x80:
            return value, position + index + 1
    raise NotProtobuf(f"byte {position}: a number of more than {_MAX_VARINT_BYTES} bytes")
