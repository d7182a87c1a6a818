"""The protobuf walker: every field of a sound message, and a refusal, never a crash, of anything else."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import StringStringEntryProto

from small_model_files import network_proto
from u2forge.model_file.protobuf_fields import Field, NotProtobuf, fields


def walk(data: bytes) -> list[Field]:
    return list(fields(io.BytesIO(data), len(data)))


def test_the_fields_of_an_onnx_model_cover_it_without_gaps() -> None:
    data = network_proto()[0].SerializeToString()
    found = walk(data)
    assert [found[0].start, found[-1].end] == [0, len(data)]
    assert all(before.end == after.start for before, after in itertools.pairwise(found))
    assert {field.number for field in found} == {1, 7, 8}  # ir_version, graph, opset_import


@given(st.text(), st.text())
def test_payloads_are_where_protobuf_put_them(key: str, value: str) -> None:
    entry = StringStringEntryProto(key=key, value=value)
    data = entry.SerializeToString()
    assert [data[field.payload : field.end].decode() for field in walk(data)] == [
        text for text, name in ((key, "key"), (value, "value")) if entry.HasField(name)
    ]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_walked_to_the_end_or_refused(data: bytes) -> None:
    try:
        found = walk(data)
    except NotProtobuf:
        return
    assert sum(field.end - field.start for field in found) == len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a", "ends inside a number"),
        (b"\x0a\x05abc", "field 1 ends at byte 7, the file at 5"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "field 1 ends at byte"),
        (b"\x80" * 11, "more than 10 bytes"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x02\x00", "field number 0"),
        (b"\x09abc", "field 1 ends at byte 9"),
        (b"\x08\x00" * 100_001, "more than 100000 fields"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(NotProtobuf, match=reason):
        walk(data)
