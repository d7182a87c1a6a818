"""Any network and tensors to calibrate it with → the quantized graph; there is no gate, as nobody knows its outputs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from u2forge.engine.protocol import Tensors
from u2forge.errors import InputError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.quantization_record import CalibrationRecord, QuantizationRecord
from u2forge.precision import PrecisionMode
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.ranges import Range
from u2forge.verbs.calibration_data import check_ranges
from u2forge.verbs.finish_quantized import finished_graph, float_records, of_ranges, quantization_record
from u2forge.verbs.trial_model import TrialEngine

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.quantize.observe import Calibrated

_logger = logging.getLogger(__name__)

# A sample gives so many pixels squared of each activation; what many samples give is thinned out (StatisticsBuilder).
_GRID = 8
ASKED_REASON = "it was asked to stay in float"


@dataclass(frozen=True, eq=False)
class CalibratedTensors:
    """What calibration saw of a network's activations, and of what data."""

    found: Calibrated
    record: CalibrationRecord


@dataclass(frozen=True)
class TensorQuantization:
    """How to quantize. ranges: replace calibrated ones, by activation; float_layers: convolutions to leave alone."""

    precision: PrecisionMode
    options: QuantizeOptions
    ranges: Mapping[str, Range] = field(default_factory=dict)
    float_layers: tuple[str, ...] = ()


def calibrate_tensors(
    graph: onnx_ir.Model,
    samples: Iterable[Tensors],
    *,
    bits: int,
    native_ranges: bool,
    trial: TrialEngine,
    manifest_of: Callable[[onnx_ir.Model], Manifest],
) -> CalibratedTensors:
    """Statistics of the graph's activations over the samples, each a set of arrays that fits its inputs.

    graph: an offline float graph of fixed batch and sizes. native_ranges: also what integer kernels of ours need, with
    16 bits and a batch of 1. Raises InputError where there is no sample or one does not fit, EngineError, ModelError.
    """
    from u2forge.quantize.observe import STATISTICS_NAME, CalibrationBuilder, observation

    watched = observation(graph, grid=_GRID, native_ranges=native_ranges and bits == 16)
    if not watched.observed:
        raise _nothing_to_quantize()
    manifest = replace(manifest_of(watched.model), precision="force_float32")
    builder = CalibrationBuilder(watched.observed)
    digest = hashlib.sha256()
    with trial.engine_on(watched.model, manifest) as engine:
        for sample in samples:
            for spec in engine.info.inputs:
                spec.check(sample[spec.name], where="calibration data")
            answer = engine.run(sample)
            builder.add(answer[STATISTICS_NAME])
            for array in sample.values():
                digest.update(np.ascontiguousarray(array).data)
    if not builder.pictures:
        raise InputError(
            where="calibration data",
            expected="at least one sample",
            found="none",
            fix="give data that is not at its end at once",
        )
    record = CalibrationRecord("tensors", builder.pictures, digest.hexdigest())
    return CalibratedTensors(builder.result(), record)


def calibrated_by_ranges(graph: onnx_ir.Model, ranges: Mapping[str, Range]) -> CalibratedTensors:
    """The same from given ranges alone. Raises InputError where an activation lacks one."""
    from u2forge.quantize.observe import observation
    from u2forge.quantize.wiring import activations

    check_ranges(ranges, [str(value.name) for value in activations(graph.graph)], complete=True)
    watched = observation(graph, grid=_GRID, native_ranges=False)
    if not watched.observed:
        raise _nothing_to_quantize()
    digest = hashlib.sha256(repr(sorted(ranges.items())).encode()).hexdigest()
    return CalibratedTensors(of_ranges(ranges, watched), CalibrationRecord("ranges", len(ranges), digest))


def quantize_tensors(
    target: onnx_ir.Model, calibrated: CalibratedTensors, wanted: TensorQuantization
) -> tuple[onnx_ir.Model, QuantizationRecord]:
    """The quantized form of `target`, an offline float graph, and its record, which says that nothing was checked.

    Raises InputError where it has other activations than were calibrated, or lacks what was named.
    """
    from u2forge.quantize.quantized_layers import quantized_layers
    from u2forge.quantize.wiring import activations

    names = [str(value.name) for value in activations(target.graph)]
    check_ranges(wanted.ranges, names, complete=False)
    missing = [name for name in names if name not in calibrated.found.activations]
    if missing:
        raise InputError(
            where="calibration",
            expected=f"statistics of all {len(names)} activations of the graph that is built",
            found=f"none of {missing[0]!r}",
            fix="calibrate with the configuration that the model is built with",
        )
    layers = quantized_layers(
        target, calibrated.found.activations, wanted.options, custom_ranges=wanted.ranges
    )
    unknown = [name for name in wanted.float_layers if name not in layers.layers]
    if unknown:
        raise InputError(
            where="layers that stay in float",
            expected=f"names of quantized convolutions: {', '.join(list(layers.layers)[:3])}, …",
            found=repr(unknown[0]),
            fix="`u2forge inspect` of the float model lists the names",
        )
    kept = tuple(dict.fromkeys((*layers.fragile, *wanted.float_layers)))
    graph = finished_graph(layers, calibrated.found, float_layers=kept, precision=wanted.precision)
    records = float_records(layers, kept, reason=ASKED_REASON)
    for record in records:
        _logger.info("%s stays in float: %s", record.name, record.reason)
    return graph, quantization_record(wanted.options, calibrated.record, records, None)


def _nothing_to_quantize() -> InputError:
    return InputError(
        where="quantization",
        expected="a network with two-dimensional convolutions of constant float32 weights",
        found="none in this graph",
        fix="build it with the precision force_float32 or force_float16",
    )
