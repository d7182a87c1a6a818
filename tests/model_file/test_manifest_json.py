"""Manifests to JSON and back for any manifest, and any bytes refused or read, never anything else."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from u2forge.errors import ModelError
from u2forge.model_file.content_digest import manifest_entries, manifest_entry_bytes
from u2forge.model_file.manifest import SCHEMA_VERSION, Manifest, Origin
from u2forge.model_file.manifest_json import manifest_from_json, manifest_text, manifest_to_json
from u2forge.model_file.protobuf_fields import NotProtobuf, fields
from u2forge.model_file.quantization_record import (
    CALIBRATION_SOURCES,
    AccuracyRecord,
    CalibrationRecord,
    FloatLayer,
    QuantizationRecord,
)
from u2forge.model_file.read import read_manifest
from u2forge.precision import PrecisionMode
from u2forge.profiles import PostProfile, PreProfile
from u2forge.tensor_spec import TensorSpec

# How long one example takes says nothing on a machine that others use, too.
patient = settings(deadline=None)
specs = st.builds(
    TensorSpec,
    name=st.text(),
    shape=st.tuples(*[st.none() | st.integers(min_value=1, max_value=100)] * 4),
    dtype=st.sampled_from(["float32", "float16", "uint8", "int8"]),
    layout=st.sampled_from(["NCHW", "NHWC"]),
)
spec_tuples = st.lists(specs, min_size=1, max_size=7).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
quantizations = st.builds(
    QuantizationRecord,
    bits=st.integers(),
    weight_bits=st.integers(),
    algorithm=st.text(),
    weight_granularity=st.text(),
    activations=st.text(),
    equalize=numbers,
    bias_correction=st.booleans(),
    calibration=st.builds(
        CalibrationRecord, source=st.sampled_from(CALIBRATION_SOURCES), count=st.integers(), sha256=st.text()
    ),
    float_layers=st.lists(st.builds(FloatLayer, name=st.text(), reason=st.text()), max_size=3).map(tuple),
    accuracy=st.none()
    | st.builds(
        AccuracyRecord,
        pictures=st.integers(),
        mean_difference=numbers,
        worst_difference=numbers,
        worst_iou=numbers,
        max_loss=numbers,
        min_iou=numbers,
        engine=st.text(),
        executed=st.text(),
    ),
)
manifests = st.builds(
    Manifest,
    name=st.text(),
    architecture=st.text(),
    precision=st.sampled_from(get_args(PrecisionMode)),
    origin=st.builds(Origin, file=st.text(), format=st.text(), sha256=st.text()),
    inputs=spec_tuples,
    outputs=spec_tuples,
    pre=st.sampled_from(get_args(PreProfile)),
    post=st.sampled_from(get_args(PostProfile)),
    embedded_preprocessing=st.booleans(),
    tools=st.dictionaries(st.text(), st.text()),
    quantization=st.none() | quantizations,
    schema_version=st.just(SCHEMA_VERSION),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@patient
@given(manifests)
def test_any_manifest_comes_back_from_json(manifest: Manifest) -> None:
    text = manifest_text(manifest_to_json(manifest))
    assert manifest_from_json(json.loads(text), where="test") == manifest


@patient
@given(manifests, quantizations, st.data())
def test_a_quantization_with_one_value_replaced_is_refused_by_name_or_read(
    manifest: Manifest, quantization: QuantizationRecord, data: st.DataObject
) -> None:
    values = json.loads(manifest_text(manifest_to_json(replace(manifest, quantization=quantization))))
    section = values["quantization"]
    inner = data.draw(
        st.sampled_from([s for s in (section, section["calibration"], section["accuracy"]) if s])
    )
    key = data.draw(st.sampled_from(sorted(inner)))
    inner[key] = data.draw(json_values)
    refusal = ""
    try:
        read = manifest_from_json(values, where="test")
    except ModelError as error:
        refusal = str(error)
    if refusal:
        assert f".{key}" in refusal
        return
    # A whole number in the place of any number is read as one: 2^53 and beyond rounded.
    assert json.loads(manifest_text(manifest_to_json(read)), parse_int=float) == json.loads(
        manifest_text(values), parse_int=float
    )


@patient
@given(manifests, st.data())
def test_a_manifest_with_one_value_replaced_is_refused_or_read(
    manifest: Manifest, data: st.DataObject
) -> None:
    values = json.loads(manifest_text(manifest_to_json(manifest)))
    key = data.draw(st.sampled_from(sorted(values)))
    values[key] = data.draw(json_values)
    try:
        read = manifest_from_json(values, where="test")
    except ModelError:
        return
    assert json.loads(manifest_text(manifest_to_json(read))) == values


@patient
@given(json_values)
def test_any_json_is_refused_by_name(values: object) -> None:
    with pytest.raises(ModelError, match="manifest"):
        manifest_from_json(values, where="test")


@patient
@given(st.binary(max_size=400))
def test_the_entry_holds_any_bytes(value: bytes) -> None:
    data = b"\x08\x08" + manifest_entry_bytes(value) + b"\x08\x09"
    [(field, found)] = manifest_entries(io.BytesIO(data), len(data))
    assert found == value
    assert (field.start, field.end) == (2, len(data) - 2)


@patient
@given(st.binary(max_size=400))
def test_any_bytes_are_fields_or_no_protobuf(data: bytes) -> None:
    try:
        found = list(fields(io.BytesIO(data), len(data)))
    except NotProtobuf:
        return
    assert b"".join(data[field.start : field.end] for field in found) == data


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400) | st.binary(max_size=200).map(manifest_entry_bytes))
def test_any_file_is_a_model_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_manifest(path)
