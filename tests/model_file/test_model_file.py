"""Model files: what is written is read, any ONNX tool loads them, and what is damaged is refused in clear words."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from onnx.reference import ReferenceEvaluator

from small_model_files import manifest_of, network_proto, picture_batch, write_proto
from u2forge.errors import ModelError, OutputError
from u2forge.model_file import write as write_module
from u2forge.model_file.content_digest import MANIFEST_KEY, manifest_entry_bytes
from u2forge.model_file.manifest_json import manifest_digest
from u2forge.model_file.quantization_record import (
    AccuracyRecord,
    CalibrationRecord,
    FloatLayer,
    QuantizationRecord,
)
from u2forge.model_file.read import MANIFEST_DIGEST_KEY, open_model_file, read_manifest
from u2forge.model_file.write import write_model
from u2forge.tensor_spec import TensorSpec

CORRUPTIONS = 200


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    return write_proto(network_proto(), tmp_path / "model.onnx")


def manifest_values(path: Path) -> dict[str, Any]:
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    values: dict[str, Any] = json.loads(entries[MANIFEST_KEY.decode()])
    return values


def with_manifest(path: Path, value: bytes) -> Path:
    """The same graph with other bytes as its manifest."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    path.write_bytes(proto.SerializeToString() + manifest_entry_bytes(value))
    return path


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """The same file with an edited manifest whose own digest is right again."""
    values = manifest_values(path)
    values.pop(MANIFEST_DIGEST_KEY)
    edit(values)
    values[MANIFEST_DIGEST_KEY] = manifest_digest(values)
    return with_manifest(path, json.dumps(values).encode())


def test_what_was_written_is_read(model_path: Path) -> None:
    _, inputs, outputs = network_proto()
    assert read_manifest(model_path) == manifest_of(inputs, outputs)
    opened = open_model_file(model_path)
    assert (opened.path, opened.manifest) == (model_path, manifest_of(inputs, outputs))
    assert len(opened.content_sha256) == 64


def test_any_onnx_tool_loads_it(model_path: Path) -> None:
    onnx.checker.check_model(model_path, full_check=True)
    ir_model = onnx_ir.load(model_path)
    assert MANIFEST_KEY.decode() in ir_model.metadata_props
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(model_path), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["x"]
    assert MANIFEST_KEY.decode() in session.get_modelmeta().custom_metadata_map


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_proto(network_proto(), tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert first.read_bytes() == second.read_bytes()


def test_a_file_written_again_holds_one_manifest_and_keeps_other_metadata(
    model_path: Path, tmp_path: Path
) -> None:
    model = onnx_ir.load(model_path)
    model.metadata_props["made by"] = "a person"
    _, inputs, outputs = network_proto()
    manifest = dataclasses.replace(manifest_of(inputs, outputs), name="renamed")
    again = tmp_path / "again.onnx"
    write_model(model, manifest, again)
    assert open_model_file(again).manifest.name == "renamed"
    keys = [entry.key for entry in onnx.load(again).metadata_props]
    assert sorted(keys) == ["made by", MANIFEST_KEY.decode()]


def test_names_beyond_ascii_and_beyond_utf_8(tmp_path: Path) -> None:
    proto, inputs, outputs = network_proto()
    origin = dataclasses.replace(manifest_of(inputs, outputs).origin, file="Größe-\udcff-中文.pth")
    manifest = dataclasses.replace(manifest_of(inputs, outputs), origin=origin, name="Ü²")
    path = tmp_path / "model.onnx"
    write_model(onnx_ir.serde.deserialize_model(proto), manifest, path)
    assert open_model_file(path).manifest == manifest
    onnx.checker.check_model(path)


def test_a_manifest_is_read_without_the_weights_or_onnx(tmp_path: Path) -> None:
    path = write_proto(network_proto(channels=256), tmp_path / "model.onnx")
    assert path.stat().st_size > 2_000_000
    program = (
        "import sys; from pathlib import Path; from u2forge.model_file.read import read_manifest; "
        "print(read_manifest(Path(sys.argv[1])).name, 'onnx' in sys.modules, 'onnx_ir' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["small", "False", "False"]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        read_manifest(path)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.02


def refused(path: Path, wording: str) -> None:
    for read in (read_manifest, open_model_file):
        with pytest.raises(ModelError, match=wording):
            read(path)


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", r"model file .*none.onnx: expected a file .* found No such file")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "found a folder")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(tmp_path / "empty.onnx", "expected an ONNX file; found an empty file")


@pytest.mark.parametrize("part", [0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_truncated_file(model_path: Path, part: float) -> None:
    data = model_path.read_bytes()
    model_path.write_bytes(data[: int(len(data) * part)])
    refused(model_path, "no ONNX file, or one cut short|no offline model")


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    refused(path, "found no ONNX file, or one cut short")


def test_a_file_of_a_million_tiny_fields_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fields.onnx"
    path.write_bytes(b"\x08\x01" * 1_000_000)
    started = time.perf_counter()
    refused(path, "more than 100000 fields")
    assert time.perf_counter() - started < 5


def test_a_graph_without_manifest(model_path: Path) -> None:
    proto = onnx.load(model_path)
    del proto.metadata_props[:]
    onnx.save(proto, model_path)
    refused(model_path, "found none: an ONNX graph, but no offline model.*u2forge build")


def test_two_manifests(model_path: Path) -> None:
    with model_path.open("ab") as file:
        file.write(manifest_entry_bytes(b"{}"))
    refused(model_path, "expected one manifest of u2forge inside; found 2 of them")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe\xfd", "can't decode"),
        (b'{"name": "\xe9"}', "can't decode"),
        (b"[" * 100_000, "recursion"),
        (b'{"a":' * 100_000, "recursion"),
        (b"9" * 10_000, "digits|no object"),
        (b"[]", "no object"),
        (b"null", "no object"),
    ],
)
def test_a_manifest_that_is_no_json_object(model_path: Path, value: bytes, found: str) -> None:
    refused(with_manifest(model_path, value), f"manifest: expected a JSON object; found .*{found}")


def test_an_unknown_schema_version(model_path: Path) -> None:
    edited(model_path, lambda values: values.update(schema_version=99, new_key=1))
    refused(model_path, "expected schema version 2, the one that this u2forge reads; found version 99")


@pytest.mark.parametrize(
    ("edit", "wording"),
    [
        (lambda v: v.pop("schema_version"), "manifest.schema_version: expected a key of kind int; found no"),
        (lambda v: v.update(schema_version="1"), "manifest.schema_version: expected int; found 1"),
        (lambda v: v.update(schema_version=True), "manifest.schema_version: expected int; found True"),
        (lambda v: v.pop("name"), "manifest.name: expected a key of kind str; found no such key"),
        (lambda v: v.update(colour="red"), "manifest.colour: expected no further keys; found unknown ones"),
        (lambda v: v["origin"].update(mood=1), "manifest.origin.mood: expected no further keys"),
        (lambda v: v.update(origin="x"), "manifest.origin: expected dict; found x"),
        (lambda v: v["origin"].pop("sha256"), "manifest.origin.sha256: expected a key of kind str"),
        (lambda v: v.update(precision="force_float12"), "manifest.precision: expected one of force_float32"),
        (lambda v: v.update(pre="mine"), "manifest.pre: expected one of official"),
        (lambda v: v.update(post="mine"), "manifest.post: expected one of stretch"),
        (lambda v: v.update(embedded_preprocessing=1), "manifest.embedded_preprocessing: expected bool"),
        (lambda v: v.update(tools={"onnx": 1}), "manifest.tools: expected strings only"),
        (lambda v: v.update(inputs=[]), "manifest.inputs: expected 1 to 512 entries; found 0 entries"),
        (lambda v: v.update(outputs=v["outputs"] * 513), "manifest.outputs: expected at most 512 entries"),
        (lambda v: v.update(inputs=[3]), "manifest.inputs: an object; found 3"),
        (lambda v: v["inputs"][0].update(dtype="float8"), "manifest.inputs.dtype: expected one of float32"),
        (lambda v: v["inputs"][0].update(layout="CHWN"), "manifest.inputs.layout: expected one of NCHW"),
        (lambda v: v["inputs"][0].update(shape=[1, 3, 0, 4]), "sizes of at least 1, or null for any"),
        (lambda v: v["inputs"][0].update(shape=[1, 3, 4.5, 4]), "sizes of at least 1, or null for any"),
        (
            lambda v: v["inputs"][0].update(shape=[1, 3, 10**7, 16]),
            "manifest.inputs.shape: expected at most 201326592",
        ),
        (lambda v: v["inputs"][0].update(shape=[1, 3]), "expected 4 sizes, as in NCHW"),
        (lambda v: v.pop("content_sha256"), "expected content_sha256"),
        (lambda v: v.update(content_sha256=7), "expected content_sha256"),
    ],
)
def test_a_manifest_with_a_wrong_key_names_it(
    model_path: Path, edit: Callable[[dict[str, Any]], object], wording: str
) -> None:
    refused(edited(model_path, edit), wording)


QUANTIZATION = QuantizationRecord(
    bits=8,
    weight_bits=7,
    algorithm="linear",
    weight_granularity="per_channel",
    activations="asymmetric",
    equalize=0.25,
    bias_correction=True,
    calibration=CalibrationRecord("pictures", 96, "0" * 64),
    float_layers=(FloatLayer("outconv", "it fuses logits"),),
    accuracy=AccuracyRecord(32, 0.001, 0.004, 0.97, 0.002, 0.95, "openvino 2026.4", "int8"),
)


def with_quantization(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """The same file with a quantization section, edited."""
    section = dataclasses.asdict(QUANTIZATION)
    edit(section)
    return edited(path, lambda values: values.update(quantization=section))


def test_a_quantization_section_is_read(model_path: Path) -> None:
    with_quantization(model_path, lambda section: None)
    assert open_model_file(model_path).manifest.quantization == QUANTIZATION
    with_quantization(model_path, lambda section: section.update(accuracy=None, float_layers=[]))
    expected = dataclasses.replace(QUANTIZATION, accuracy=None, float_layers=())
    assert read_manifest(model_path).quantization == expected


def test_a_whole_number_is_a_number(model_path: Path) -> None:
    with_quantization(model_path, lambda section: section.update(equalize=1))
    assert read_manifest(model_path).quantization == dataclasses.replace(QUANTIZATION, equalize=1.0)


def test_a_manifest_without_the_quantization_key_is_refused(model_path: Path) -> None:
    edited(model_path, lambda values: values.pop("quantization"))
    refused(model_path, "manifest.quantization: expected a key of kind dict; found no such key")


@pytest.mark.parametrize(
    ("edit", "wording"),
    [
        (lambda q: q.pop("bits"), "quantization.bits: expected a key of kind int; found no such key"),
        (lambda q: q.update(bits=8.0), "quantization.bits: expected int; found 8.0"),
        (lambda q: q.update(weight_bits=True), "quantization.weight_bits: expected int; found True"),
        (lambda q: q.update(algorithm=None), "quantization.algorithm: expected str; found None"),
        (lambda q: q.update(bias_correction=1), "quantization.bias_correction: expected bool; found 1"),
        (lambda q: q.update(equalize="0.25"), "quantization.equalize: expected float; found 0.25"),
        (lambda q: q.update(equalize=True), "quantization.equalize: expected float; found True"),
        (lambda q: q.update(equalize=math.nan), "quantization.equalize: expected a finite number; found nan"),
        (
            lambda q: q.update(equalize=-math.inf),
            "quantization.equalize: expected a finite number; found -inf",
        ),
        (lambda q: q.update(equalize=10**400), "quantization.equalize: expected a finite number; found 10"),
        (lambda q: q.update(colour="red"), "quantization.colour: expected no further keys; found unknown"),
        (lambda q: q.update(calibration=None), "quantization.calibration: expected dict; found None"),
        (
            lambda q: q["calibration"].update(source="web"),
            "calibration.source: expected one of pictures, random",
        ),
        (
            lambda q: q["calibration"].pop("sha256"),
            "quantization.calibration.sha256: expected a key of kind str",
        ),
        (
            lambda q: q["calibration"].update(mood=1),
            "quantization.calibration.mood: expected no further keys",
        ),
        (lambda q: q.update(float_layers={}), "quantization.float_layers: expected list; found {}"),
        (lambda q: q.update(float_layers=["x"]), "quantization.float_layers: an object; found x"),
        (
            lambda q: q.update(float_layers=list(q["float_layers"]) * 513),
            "quantization.float_layers: expected at most 512 entries; found 513 entries",
        ),
        (
            lambda q: q["float_layers"][0].pop("reason"),
            "quantization.float_layers.reason: expected a key of kind",
        ),
        (
            lambda q: q["float_layers"][0].update(why=1),
            "quantization.float_layers.why: expected no further keys",
        ),
        (lambda q: q.update(accuracy=0.001), "quantization.accuracy: expected dict; found 0.001"),
        (
            lambda q: q["accuracy"].update(worst_iou=math.nan),
            "accuracy.worst_iou: expected a finite number; found",
        ),
        (
            lambda q: q["accuracy"].update(pictures=3.5),
            "quantization.accuracy.pictures: expected int; found 3.5",
        ),
        (lambda q: q["accuracy"].update(best=1), "quantization.accuracy.best: expected no further keys"),
    ],
)
def test_a_broken_quantization_section_names_the_key(
    model_path: Path, edit: Callable[[dict[str, Any]], object], wording: str
) -> None:
    refused(with_quantization(model_path, edit), wording)


def test_a_quantization_section_of_another_kind(model_path: Path) -> None:
    edited(model_path, lambda values: values.update(quantization=[]))
    refused(model_path, r"manifest.quantization: expected dict; found \[\]")


def test_a_manifest_changed_by_hand(model_path: Path) -> None:
    data = model_path.read_bytes()
    assert data.count(b"[1, 3, 16, 16]") == 1
    model_path.write_bytes(data.replace(b"[1, 3, 16, 16]", b"[1, 3, 16, 17]"))
    refused(model_path, "the manifest was damaged, or changed after it was built")


def test_weights_changed_after_the_build(model_path: Path) -> None:
    data = bytearray(model_path.read_bytes())
    place = data.index(network_proto()[0].graph.initializer[0].raw_data)
    data[place] ^= 1
    model_path.write_bytes(data)
    read_manifest(model_path)
    with pytest.raises(ModelError, match=r"expected content of sha256 .* the file was damaged, or changed"):
        open_model_file(model_path)


def test_bytes_put_behind_the_manifest(model_path: Path) -> None:
    # producer_name again: protobuf would let the last one win.
    with model_path.open("ab") as file:
        file.write(b"\x12\x03bad")
    with pytest.raises(ModelError, match="the file was damaged"):
        open_model_file(model_path)


def test_a_model_over_2_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_module, "_MAX_BYTES", 1000)
    with pytest.raises(ModelError, match=r"at most 2 GiB.*found 0.00 GiB"):
        write_proto(network_proto(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_of_other_tensors_is_not_written(tmp_path: Path) -> None:
    proto, inputs, outputs = network_proto()
    wrong = [TensorSpec("other", (1, 1, 16, 16), "float32", "NCHW")]
    model = onnx_ir.serde.deserialize_model(proto)
    with pytest.raises(ModelError, match="outputs: expected the manifest's: other; found the graph's: d0"):
        write_model(model, manifest_of(inputs, wrong), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="inputs: expected the manifest's: other; found the graph's: x"):
        write_model(model, manifest_of(wrong, outputs), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="writing"):
        write_proto(network_proto(), tmp_path / "file" / "model.onnx")


def corrupted(data: bytes, source: random.Random) -> bytes:
    place = source.randrange(len(data))
    size = source.randrange(1, 64)
    match source.randrange(4):
        case 0:
            return data[:place] + bytes([data[place] ^ 1 << source.randrange(8)]) + data[place + 1 :]
        case 1:
            return data[:place]
        case 2:
            return data[:place] + source.randbytes(size) + data[place:]
        case _:
            return data[: place + size] + data[place:]


def test_corrupted_files_are_refused_or_mean_the_same(model_path: Path, tmp_path: Path) -> None:
    data = model_path.read_bytes()
    source = random.Random(0)
    right = open_model_file(model_path)
    picture = {"x": picture_batch(right.manifest.inputs[0])}
    answer = ReferenceEvaluator(onnx.load(model_path)).run(None, picture)[0]
    path = tmp_path / "corrupted.onnx"
    for number in range(CORRUPTIONS):
        # Half of them near the manifest, a small part of the file.
        start = 0 if number % 2 else len(data) - 1500
        path.write_bytes(data[:start] + corrupted(data[start:], source))
        try:
            opened = open_model_file(path)
        except ModelError:
            continue
        assert opened.manifest == right.manifest
        np.testing.assert_array_equal(ReferenceEvaluator(onnx.load(path)).run(None, picture)[0], answer)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="no regular file"):
        read_manifest(tmp_path / "pipe")
