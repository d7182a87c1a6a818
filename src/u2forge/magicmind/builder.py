"""Builder: a Network and a BuilderConfig → a Model."""

from __future__ import annotations

from dataclasses import replace

from u2forge.errors import InputError
from u2forge.magicmind.build_request import model_request, quantization
from u2forge.magicmind.builder_config import BuilderConfig
from u2forge.magicmind.model import Model
from u2forge.magicmind.network import Network
from u2forge.magicmind.status import PreconditionError, or_none
from u2forge.precision import quantized_bits
from u2forge.verbs.build_tensors import build_tensor_model, float_model
from u2forge.verbs.quantize_tensors import CalibratedTensors, TensorQuantization, calibrated_by_ranges


class Builder:
    """Builds models; it keeps nothing."""

    def build_model(self, name: str, network: Network, config: BuilderConfig) -> Model | None:
        """The model; None, with the reason in the log, where it cannot be built."""
        return or_none(lambda: self._build(name, network, config))

    def _build(self, name: str, network: Network, config: BuilderConfig) -> Model:
        if not (isinstance(name, str) and isinstance(network, Network) and isinstance(config, BuilderConfig)):
            raise InputError(
                where="Builder.build_model",
                expected="a name, a Network and a BuilderConfig",
                found=f"{type(name).__name__}, {type(network).__name__}, {type(config).__name__}",
                fix="write builder.build_model('model', network, config)",
            )
        config.tell_unused()
        parsed = network.parsed
        request = model_request(name, network, config)
        seen = network.calibration
        how = quantization(network, config, algorithm="linear" if seen is None else seen.algorithm)
        calibrated = None if how is None else _calibrated(network, config, how)
        return Model.of(build_tensor_model(parsed, request, calibrated=calibrated, quantization=how))


def _calibrated(network: Network, config: BuilderConfig, how: TensorQuantization) -> CalibratedTensors:
    seen = network.calibration
    if seen is not None and seen.bits == how.options.bits:
        return seen.found
    if how.ranges and seen is None:
        return _by_ranges(network, config, how)
    raise PreconditionError(
        where=f"Builder.build_model, precision_mode {config.precision_mode}",
        expected=f"a network that was calibrated for {quantized_bits(config.precision_mode)} bits, or custom_ranges",
        found="one that was not" if seen is None else f"one that was calibrated for {seen.bits} bits",
        fix="call mm.Calibrator([data]).calibrate(network, config) before, with this configuration",
    )


def _by_ranges(network: Network, config: BuilderConfig, how: TensorQuantization) -> CalibratedTensors:
    request = model_request("ranges", network, config)
    # The sizes do not matter: nothing but channels is taken from the graph.
    smallest = {found.name: found.smallest for found in request.ranges}
    shapes = {
        name: smallest.get(name, tuple(1 if size is None else size for size in shape))
        for name, shape in request.shapes.items()
    }
    model = float_model(network.parsed, replace(request, shapes=shapes, ranges=()))
    return calibrated_by_ranges(model.graph, how.ranges)
