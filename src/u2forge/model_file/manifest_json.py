"""A manifest to JSON and back, strictly: a key that is missing, unknown or of another kind is named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from u2forge.errors import ModelError
from u2forge.model_file.manifest import INTERFACES, SCHEMA_VERSION, Manifest, Origin, ShapeRange
from u2forge.model_file.quantization_record import (
    CALIBRATION_SOURCES,
    AccuracyRecord,
    CalibrationRecord,
    FloatLayer,
    QuantizationRecord,
)
from u2forge.precision import PRECISION_MODES
from u2forge.profiles import POST_PROFILES, PRE_PROFILES
from u2forge.target import TARGETS
from u2forge.tensor_spec import ARRAY_LAYOUT, LAYOUTS, TensorSpec

# More than a U²-Net has convolutions or outputs.
_MAX_ENTRIES = 512
# A batch of 64 pictures of 1024 × 1024: what a crafted file says beyond that would only fill the memory.
_MAX_ELEMENTS = 64 * 3 * 1024 * 1024
_DTYPES = (
    *("float32", "float16", "float64", "bool"),
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
)


def manifest_to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain values, in a fixed order."""
    values = dataclasses.asdict(manifest)
    if manifest.target == "portable":  # not said, as in files from before there were other targets
        del values["target"]
    if manifest.interface == "pictures":  # likewise
        del values["interface"]
    if not manifest.shape_ranges:
        del values["shape_ranges"]
    return values


def manifest_text(values: Mapping[str, Any]) -> str:
    """Those values as JSON, in ASCII: a name that is no UTF-8 on disk stays what it was."""
    return json.dumps(values)


def manifest_digest(values: Mapping[str, Any]) -> str:
    """The SHA-256, in hex, of those values as JSON: the graph's digest does not cover the manifest itself."""
    return hashlib.sha256(manifest_text(values).encode("ascii")).hexdigest()


def manifest_from_json(values: object, *, where: str) -> Manifest:
    """The manifest that those values say. Raises ModelError, naming `where`, the key, and what was expected."""
    reader = _Reader(values, where, "manifest")
    version = reader.take("schema_version", int)
    if version != SCHEMA_VERSION:
        raise ModelError(
            where=f"{where}, manifest",
            expected=f"schema version {SCHEMA_VERSION}, the one that this u2forge reads",
            found=f"version {version}",
            fix="build the model again with this u2forge, or use the u2forge that built it",
        )
    origin = reader.inner("origin")
    of_tensors = reader.has("interface") and reader.choice("interface", INTERFACES) == "tensors"
    manifest = Manifest(
        name=reader.take("name", str),
        architecture=reader.take("architecture", str),
        precision=reader.choice("precision", PRECISION_MODES),
        origin=Origin(
            file=origin.take("file", str),
            format=origin.take("format", str),
            sha256=origin.take("sha256", str),
        ),
        inputs=reader.some("inputs", _tensor_spec),
        outputs=reader.some("outputs", _tensor_spec),
        pre=reader.take("pre", type(None)) if of_tensors else reader.choice("pre", PRE_PROFILES),
        post=reader.take("post", type(None)) if of_tensors else reader.choice("post", POST_PROFILES),
        embedded_preprocessing=reader.take("embedded_preprocessing", bool),
        tools=reader.strings("tools"),
        quantization=reader.optional("quantization", _quantization),
        target=reader.choice("target", TARGETS) if reader.has("target") else "portable",
        interface="tensors" if of_tensors else "pictures",
        shape_ranges=reader.some("shape_ranges", _shape_range) if reader.has("shape_ranges") else (),
        schema_version=version,
    )
    origin.finish()
    reader.finish()
    axes = {spec.name: len(spec.shape) for spec in manifest.inputs}
    for found in manifest.shape_ranges:
        if not axes.get(found.name) == len(found.smallest) == len(found.largest):
            raise reader.wrong("shape_ranges", "of inputs, a size for each axis", found)
    return manifest


def _tensor_spec(reader: _Reader) -> TensorSpec:
    spec = TensorSpec(
        name=reader.take("name", str),
        shape=reader.shape("shape"),
        dtype=reader.choice("dtype", _DTYPES),
        layout=reader.choice("layout", LAYOUTS),
    )
    if spec.layout != ARRAY_LAYOUT and len(spec.shape) != len(spec.layout):
        raise reader.wrong("shape", f"{len(spec.layout)} sizes, as in {spec.layout}", spec.shape)
    reader.finish()
    return spec


def _shape_range(reader: _Reader) -> ShapeRange:
    found = ShapeRange(
        name=reader.take("name", str),
        smallest=_sizes(reader, "smallest"),
        largest=_sizes(reader, "largest"),
    )
    reader.finish()
    return found


def _sizes(reader: _Reader, key: str) -> tuple[int, ...]:
    sizes = reader.shape(key)
    if None in sizes:
        raise reader.wrong(key, "sizes of at least 1", sizes)
    return tuple(size for size in sizes if size is not None)


def _quantization(reader: _Reader) -> QuantizationRecord:
    record = QuantizationRecord(
        bits=reader.take("bits", int),
        weight_bits=reader.take("weight_bits", int),
        algorithm=reader.take("algorithm", str),
        weight_granularity=reader.take("weight_granularity", str),
        activations=reader.take("activations", str),
        equalize=reader.number("equalize"),
        bias_correction=reader.take("bias_correction", bool),
        calibration=_calibration(reader.inner("calibration")),
        float_layers=reader.each("float_layers", _float_layer),
        accuracy=reader.optional("accuracy", _accuracy),
    )
    reader.finish()
    return record


def _calibration(reader: _Reader) -> CalibrationRecord:
    record = CalibrationRecord(
        source=reader.choice("source", CALIBRATION_SOURCES),
        count=reader.take("count", int),
        sha256=reader.take("sha256", str),
    )
    reader.finish()
    return record


def _float_layer(reader: _Reader) -> FloatLayer:
    layer = FloatLayer(name=reader.take("name", str), reason=reader.take("reason", str))
    reader.finish()
    return layer


def _accuracy(reader: _Reader) -> AccuracyRecord:
    record = AccuracyRecord(
        pictures=reader.take("pictures", int),
        mean_difference=reader.number("mean_difference"),
        worst_difference=reader.number("worst_difference"),
        worst_iou=reader.number("worst_iou"),
        max_loss=reader.number("max_loss"),
        min_iou=reader.number("min_iou"),
        engine=reader.take("engine", str),
        executed=reader.take("executed", str),
    )
    reader.finish()
    return record


T = TypeVar("T")


class _Reader:
    """One JSON object, whose keys are taken one by one; `finish` refuses what is left over."""

    def __init__(self, values: object, where: str, name: str) -> None:
        if not isinstance(values, Mapping):
            raise ModelError(where=where, expected=f"{name}: an object", found=_shown(values), fix=_FIX)
        self._values = dict(values)
        self._where = where
        self._name = name

    def has(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str, kind: type) -> Any:
        if key not in self._values:
            raise self.wrong(key, f"a key of kind {kind.__name__}", "no such key")
        value = self._values.pop(key)
        if type(value) is not kind:
            raise self.wrong(key, kind.__name__, value)
        return value

    def choice(self, key: str, valid: Sequence[str]) -> Any:
        value = self.take(key, str)
        if value not in valid:
            raise self.wrong(key, f"one of {', '.join(valid)}", value)
        return value

    def inner(self, key: str) -> _Reader:
        return _Reader(self.take(key, dict), self._where, f"{self._name}.{key}")

    def optional(self, key: str, read: Callable[[_Reader], T]) -> T | None:
        if key in self._values and self._values[key] is None:
            del self._values[key]
            return None
        return read(self.inner(key))

    def each(self, key: str, read: Callable[[_Reader], T]) -> tuple[T, ...]:
        values = self.take(key, list)
        if len(values) > _MAX_ENTRIES:
            raise self.wrong(key, f"at most {_MAX_ENTRIES} entries", f"{len(values)} entries")
        return tuple(read(_Reader(value, self._where, f"{self._name}.{key}")) for value in values)

    def some(self, key: str, read: Callable[[_Reader], T]) -> tuple[T, ...]:
        found = self.each(key, read)
        if not found:
            raise self.wrong(key, f"1 to {_MAX_ENTRIES} entries", "0 entries")
        return found

    def number(self, key: str) -> float:
        value = self._values.get(key)
        if type(value) is int:
            try:
                self._values[key] = float(value)
            except OverflowError:
                raise self.wrong(key, "a finite number", value) from None
        found: float = self.take(key, float)
        if not math.isfinite(found):
            raise self.wrong(key, "a finite number", found)
        return found

    def shape(self, key: str) -> tuple[int | None, ...]:
        sizes = self.take(key, list)
        for size in sizes:
            if size is not None and (type(size) is not int or size < 1):
                raise self.wrong(key, "sizes of at least 1, or null for any", sizes)
        if math.prod(size or 1 for size in sizes) > _MAX_ELEMENTS:
            raise self.wrong(key, f"at most {_MAX_ELEMENTS} elements", sizes)
        return tuple(sizes)

    def strings(self, key: str) -> dict[str, str]:
        values = self.take(key, dict)
        if not all(isinstance(value, str) for value in values.values()):
            raise self.wrong(key, "strings only", values)
        return dict(values)

    def finish(self) -> None:
        if self._values:
            raise self.wrong(", ".join(map(str, self._values)), "no further keys", "unknown ones")

    def wrong(self, key: str, expected: str, found: object) -> ModelError:
        return ModelError(
            where=f"{self._where}, {self._name}.{key}", expected=expected, found=_shown(found), fix=_FIX
        )


_FIX = "build the model again with this u2forge"


def _shown(value: object) -> str:
    return value if isinstance(value, str) and len(value) < 60 else repr(value)[:80]
