"""A float network and calibration data → the quantized graph that passed the gate, and its record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from u2forge.engine.protocol import EngineInfo
from u2forge.errors import AccuracyError
from u2forge.evaluate.accuracy_gate import AccuracyGate, MapLoss, map_loss
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.quantization_record import AccuracyRecord, QuantizationRecord
from u2forge.precision import PrecisionMode
from u2forge.quantize.calibration_faults import option_faults, range_faults
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.tensor_statistics import MOST_POSITIONS
from u2forge.report.layer_table import LayerRow, QuantizationReport
from u2forge.verbs.calibrate import Calibration, CheckPicture, require_check_pictures
from u2forge.verbs.calibration_data import CalibrationData, calibration_record, check_range_names
from u2forge.verbs.finish_quantized import finished_graph, float_records, of_ranges, quantization_record
from u2forge.verbs.trial_model import TrialEngine

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.quantize.observe import Calibrated, Observation
    from u2forge.quantize.quantized_layers import QuantizedLayers

_logger = logging.getLogger(__name__)

# A ranking runs once for each layer, over the pictures that show the loss best.
_PICTURES_TO_RANK = 8
# So much of the work may stay in float; beyond, the model were no quantized one any more.
MOST_FLOAT_WORK = 0.25
# A loss so many times the limit has another cause than single layers.
_HOPELESS = 10.0
# So few calibration pictures may not show what others reach.
_FEW_PICTURES = 16
_CURVE_COUNTS = (1, 2, 4, 8, 16, 32, 64)
SENSITIVE_REASON = "sensitive: in integers, the model's loss is over the limit"


@dataclass(frozen=True)
class QuantizeRequest:
    """All that was asked for. gate: None builds without any check; report: whether to rank the layers in any case."""

    precision: PrecisionMode
    data: CalibrationData
    options: QuantizeOptions
    gate: AccuracyGate | None
    trial: TrialEngine
    report: bool = False
    progress: bool = False

    @property
    def observing(self) -> TrialEngine:
        """Where calibration runs: its graph has operators that the native kernels do not know."""
        return replace(self.trial, engine="auto", device="auto") if self._on_native else self.trial

    @property
    def ranking(self) -> TrialEngine:
        """Where layers are tried in float: of a 16-bit model the native engine computes none so."""
        return replace(self.trial, engine="onnxruntime", device="auto") if self._on_native else self.trial

    @property
    def may_keep_float_layers(self) -> bool:
        """Whether the engine that checks runs a model with some layers in float."""
        return not self._on_native

    @property
    def _on_native(self) -> bool:
        return self.trial.engine == "native"


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """graph: finished; record: for its manifest; report: None where none was asked for."""

    graph: onnx_ir.Model
    record: QuantizationRecord
    report: QuantizationReport | None


def quantize_network(
    request: QuantizeRequest,
    *,
    single: onnx_ir.Model,
    target: onnx_ir.Model,
    manifest_of: Callable[[onnx_ir.Model], Manifest],
) -> QuantizedNetwork:
    """The quantized form of `target`, an offline float graph; `single`: the same for a batch of one and d0 alone.

    manifest_of: what to open a trial graph with. Raises AccuracyError where the gate does not hold even with the
    layers that may stay in float, InputError, EngineError.
    """
    from u2forge.quantize.quantized_layers import quantized_layers
    from u2forge.quantize.wiring import activations

    names = [str(value.name) for value in activations(single.graph)]
    check_range_names(request.data, names)
    calibration, calibrated = _calibrated(request, single, manifest_of)
    layers = quantized_layers(
        target, calibrated.activations, request.options, custom_ranges=request.data.ranges
    )
    search = _Search(request, layers, calibrated, calibration, manifest_of)
    if request.gate is not None:
        search.settle()
    report = search.report() if request.report else None
    record = quantization_record(
        request.options,
        calibration_record(request.data, calibration.read),
        float_records(layers, search.kept, reason=SENSITIVE_REASON),
        search.accuracy,
    )
    return QuantizedNetwork(search.graph(search.kept), record, report)


def _calibrated(
    request: QuantizeRequest, single: onnx_ir.Model, manifest_of: Callable[[onnx_ir.Model], Manifest]
) -> tuple[Calibration, Calibrated]:
    from u2forge.quantize.observe import observation

    pictures = max(1, request.data.count if request.data.source != "ranges" else 1)
    grid = int(np.clip(np.sqrt(MOST_POSITIONS / pictures), 2, 32))
    watched: Observation = observation(single, grid=grid, native_ranges=request.options.bits == 16)
    manifest = replace(manifest_of(watched.model), precision="force_float32")
    with request.observing.opened(watched.model, manifest) as segmenter:
        calibration = Calibration(watched, segmenter, progress=request.progress)
        calibration.run(request.data)
    for failure in calibration.failures:
        _logger.warning("left out of the calibration: %s", failure)
    faults = calibration.faults()
    if request.gate is not None or request.report:
        require_check_pictures(calibration.check, blank=calibration.blank_checks, faults=faults)
    if request.gate is not None and faults:
        raise AccuracyError(
            where="accuracy gate, calibration pictures",
            expected="ordinary photos, decoded as at inference",
            found="; ".join(faults),
            fix="calibrate with such photos (--max-loss none builds without any check)",
        )
    if faults:
        _logger.warning("calibration pictures: %s", "; ".join(faults))
    if calibration.statistics.pictures:
        return calibration, calibration.statistics.result()
    return calibration, of_ranges(request.data.ranges, watched)


@dataclass(eq=False)
class _Search:
    """Trials of graphs with some layers in float; `kept` are those that were settled on."""

    request: QuantizeRequest
    layers: QuantizedLayers
    calibrated: Calibrated
    calibration: Calibration
    manifest_of: Callable[[onnx_ir.Model], Manifest]
    kept: tuple[str, ...] = field(init=False)
    accuracy: AccuracyRecord | None = None
    gains: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kept = self.layers.fragile

    def graph(self, float_layers: Collection[str]) -> onnx_ir.Model:
        """The finished graph with these layers in float."""
        return finished_graph(
            self.layers, self.calibrated, float_layers=float_layers, precision=self.request.precision
        )

    def loss(self, float_layers: Collection[str], check: Sequence[CheckPicture] | None = None) -> MapLoss:
        """What the graph loses on check pictures (all, where not given), to compare layers by."""
        return self._measured(float_layers, self.request.ranking, check)[0]

    def settle(self) -> None:
        """Finds the layers to keep in float, if any. Raises AccuracyError where the gate cannot hold."""
        gate = self.request.gate
        assert gate is not None
        loss = self._accept(self.kept)
        if gate.holds(loss):
            return
        if loss.mean_difference > _HOPELESS * gate.max_loss:
            raise self._refused(loss, "too far off for single layers to be the cause")
        if not self.request.may_keep_float_layers:
            raise self._refused(loss, "on the native engine, which runs no model with some layers in float")
        kept = self._fewest(gate)
        if kept is None:
            at_most = f"also with the costliest layers in float, {MOST_FLOAT_WORK:.0%} of the work at most"
            raise self._refused(loss, at_most)
        self.kept = (*self.layers.fragile, *kept)
        self._accept(self.kept)
        _logger.warning(
            "%d of %d layers stay in float, so that the loss is within the limit: %s",
            len(self.kept),
            len(self.layers.layers),
            ", ".join(self.kept),
        )

    def report(self) -> QuantizationReport:
        """Every layer with its cost, and the loss by the number of layers left in float."""
        self._rank()
        fragile = self.layers.fragile
        ranked = [*fragile, *self.gains]
        counts = sorted({0, len(fragile), *(count for count in _CURVE_COUNTS if count < len(ranked))})
        curve = [(count, self.loss(ranked[:count]).mean_difference) for count in counts]
        work = self._work()
        rows = tuple(
            LayerRow(
                name=name,
                work=work[name],
                weight_snr_db=layer.weight_snr_db,
                input_snr_db=layer.input_snr_db,
                border_error=layer.border_error,
                gain=self.gains.get(name),
                kept_in_float=name in self.kept,
            )
            for name, layer in self.layers.layers.items()
        )
        return QuantizationReport(rows=rows, curve=tuple(curve), accuracy=self.accuracy)

    def _measured(
        self, float_layers: Collection[str], trial: TrialEngine, check: Sequence[CheckPicture] | None = None
    ) -> tuple[MapLoss, EngineInfo]:
        pictures = self.calibration.check if check is None else check
        graph = self.graph(float_layers)
        maps, info = trial.maps(graph, self.manifest_of(graph), [one.prepared for one in pictures])
        loss = map_loss([one.name for one in pictures], maps, [one.reference for one in pictures])
        return loss, info

    def _accept(self, float_layers: Collection[str]) -> MapLoss:
        gate = self.request.gate
        assert gate is not None
        loss, info = self._measured(float_layers, self.request.trial)
        self.accuracy = AccuracyRecord(
            pictures=loss.pictures,
            mean_difference=loss.mean_difference,
            worst_difference=loss.worst_difference,
            worst_iou=loss.worst_iou,
            max_loss=gate.max_loss,
            min_iou=gate.min_iou,
            engine=f"{info.engine} {info.version}",
            executed=info.precision_executed,
        )
        return loss

    def _rank(self) -> None:
        from u2forge.quantize.layer_search import rank_layers

        if self.gains:
            return
        fragile = self.layers.fragile
        worst = np.argsort(self.loss(fragile).differences)[::-1][:_PICTURES_TO_RANK]
        pictures = [self.calibration.check[int(index)] for index in worst]
        names = [name for name in self.layers.layers if name not in fragile]
        with tqdm(total=len(names), unit="layer", desc="ranking", disable=not self.request.progress) as bar:
            costs = rank_layers(
                lambda kept: self.loss((*fragile, *kept), pictures).mean_difference,
                names,
                on_layer=lambda _: bar.update(),
            )
        self.gains = {cost.name: cost.gain for cost in costs}

    def _fewest(self, gate: AccuracyGate) -> tuple[str, ...] | None:
        from u2forge.quantize.layer_search import fewest_float_layers

        self._rank()
        return fewest_float_layers(
            lambda kept: gate.holds(self.loss((*self.layers.fragile, *kept))),
            list(self.gains),
            weight=self._work(),
            most_weight=MOST_FLOAT_WORK,
        )

    def _work(self) -> dict[str, float]:
        """Each layer's share of the multiply-accumulates."""
        from u2forge.graph.summary import summarize

        layers = summarize(self.layers.model).layers
        total = sum(layer.macs for layer in layers)
        return {layer.name: layer.macs / total for layer in layers if layer.name in self.layers.layers}

    def _refused(self, loss: MapLoss, why: str) -> AccuracyError:
        gate, options = self.request.gate, self.request.options
        assert gate is not None
        causes = [*self._range_faults(), *option_faults(options)]
        if not causes and self.calibration.statistics.pictures < _FEW_PICTURES:
            causes = ["too few calibration pictures, or unlike the check pictures"]
        told = f"; likely cause: {'; '.join(causes)}" if causes else ""
        return AccuracyError(
            where=f"accuracy gate, {self.request.precision} on {loss.pictures} check pictures",
            expected=f"mean map difference of at most {gate.max_loss:g} and IoU of at least {gate.min_iou:g}",
            found=f"{gate.excess(loss)} ({why}){told}",
            fix=f"mend the cause, {self._other_choice()}, or allow more with --max-loss",
        )

    def _other_choice(self) -> str:
        if self.request.may_keep_float_layers:
            return "choose qint16 or a float precision"
        return "choose a float precision or --engine onnxruntime, which may keep layers in float"

    def _range_faults(self) -> list[str]:
        from u2forge.quantize.equalize import scaled_statistics

        if not self.calibration.check_statistics.pictures:
            return []
        seen = scaled_statistics(self.calibration.check_statistics.result().activations, self.layers.scales)
        return range_faults(self.layers.activations, seen)
