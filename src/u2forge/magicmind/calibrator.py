"""Calibrator: a program's calibration data through the float network → what the Builder quantizes with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from u2forge.errors import InputError, unknown_choice
from u2forge.magicmind.build_request import Shape, model_request
from u2forge.magicmind.builder_config import BuilderConfig
from u2forge.magicmind.calib_data import CalibDataInterface, RemoteConfig, samples_of
from u2forge.magicmind.devices import device_to_work_on
from u2forge.magicmind.network import Network, NetworkCalibration
from u2forge.magicmind.status import Status, logger, status_of
from u2forge.precision import quantized_bits
from u2forge.quantize.options import RangeAlgorithm
from u2forge.verbs.build_tensors import TensorModel, float_model, with_outputs_of
from u2forge.verbs.quantize_tensors import calibrate_tensors
from u2forge.verbs.trial_model import TrialEngine

_NAMES: dict[str, RangeAlgorithm] = {"LINEAR": "linear", "EQNM": "eqnm"}
Sample = dict[str, NDArray[Any]]


class QuantizationAlgorithm(Enum):
    """How ranges follow from what is seen: all of it (LINEAR), or with the least quantization noise (EQNM)."""

    LINEAR_ALGORITHM = "LINEAR"
    EQNM_ALGORITHM = "EQNM"
    # The name in older programs.
    EQM_ALGORITHM = EQNM_ALGORITHM


class Calibrator:
    """Takes one CalibDataInterface for each input of the network."""

    def __init__(self, calib_data: Sequence[CalibDataInterface]) -> None:
        self._data = list(calib_data)
        self._algorithm: RangeAlgorithm = "linear"

    def set_quantization_algorithm(self, algorithm: QuantizationAlgorithm) -> Status:
        """LINEAR_ALGORITHM where none is set."""
        return status_of(lambda: self._set_algorithm(algorithm))

    def set_remote(self, remote: RemoteConfig) -> Status:
        """Without effect: calibration runs on this machine."""
        logger.warning("RemoteConfig has no effect: calibration runs on this machine")
        return Status.OK()

    def calibrate(self, network: Network, config: BuilderConfig) -> Status:
        """Runs all of the data through the network, and leaves what it saw with the network, for the Builder."""
        return status_of(lambda: self._calibrate(network, config))

    def _set_algorithm(self, algorithm: object) -> None:
        if not isinstance(algorithm, QuantizationAlgorithm):
            valid = [f"QuantizationAlgorithm.{kind.name}" for kind in QuantizationAlgorithm]
            raise unknown_choice(algorithm, valid, where="Calibrator.set_quantization_algorithm")
        self._algorithm = _NAMES[algorithm.value]

    def _calibrate(self, network: Network, config: BuilderConfig) -> None:
        is_u2net = network.parsed.is_u2net
        names = [tensor.name for tensor in network.inputs]
        self._check_data(names)
        bits = _bits(config)
        samples = samples_of(self._data, names)
        first = next(samples, None)
        if first is None:
            raise InputError(
                where="Calibrator.calibrate",
                expected="at least one sample",
                found="data whose next() says OUT_OF_RANGE at once",
                fix="check that its file list is not empty, and that reset() goes back to the beginning",
            )
        samples = chain([first], samples)
        model = _float_model(network, config, first)
        device = device_to_work_on()
        # The graph that calibrates has operators that the native kernels do not know.
        engine, place = ("auto", "auto") if device.engine == "native" else (device.engine, device.device)
        found = calibrate_tensors(
            model.graph,
            # Our own kernels need ranges of single pictures.
            _singles(samples) if is_u2net else samples,
            bits=bits,
            native_ranges=is_u2net,
            trial=TrialEngine(engine, place, device.threads),
            manifest_of=lambda graph: with_outputs_of(model.manifest, graph),
        )
        network.calibration = NetworkCalibration(found, bits, self._algorithm)

    def _check_data(self, names: Sequence[str]) -> None:
        if len(self._data) == len(names) and all(isinstance(one, CalibDataInterface) for one in self._data):
            return
        raise InputError(
            where="Calibrator",
            expected=f"{len(names)} CalibDataInterface, one for each of the inputs {', '.join(names)}",
            found=f"{len(self._data)}: {', '.join(type(one).__name__ for one in self._data) or 'none'}",
            fix="write mm.Calibrator([data]), with a class that implements mm.CalibDataInterface",
        )


def _bits(config: BuilderConfig) -> int:
    found = quantized_bits(config.precision_mode)
    if found is None:
        raise InputError(
            where="Calibrator.calibrate",
            expected="a quantized precision_mode (qint8_… or qint16_…) in the configuration",
            found=config.precision_mode,
            fix="set it before, or leave the calibration out: a float precision needs none",
        )
    return found


def _float_model(network: Network, config: BuilderConfig, sample: Sample) -> TensorModel:
    """What the samples run through: their batch, of a U²-Net 1."""
    request = model_request("calibration", network, config)
    layouts = request.changes.input_layouts
    shapes = {
        name: _filled(shape, _in_networks_layout(sample[name], layouts.get(name)))
        for name, shape in request.shapes.items()
    }
    if network.parsed.is_u2net:
        shapes = {name: (1, *shape[1:]) for name, shape in shapes.items()}
    return float_model(network.parsed, replace(request, shapes=shapes, ranges=()))


def _singles(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Each picture of each batch as a batch of its own."""
    for sample in samples:
        for index in range(min(map(len, sample.values()))):
            yield {name: array[index : index + 1] for name, array in sample.items()}


def _in_networks_layout(array: NDArray[Any], layout: str | None) -> tuple[int, ...]:
    """The sizes of a sample in the order of the network, which has the other layout than the model's input."""
    if layout is None or array.ndim != 4:
        return array.shape
    order = (0, 3, 1, 2) if layout == "NHWC" else (0, 2, 3, 1)
    return tuple(array.shape[axis] for axis in order)


def _filled(shape: Shape, sample: tuple[int, ...]) -> Shape:
    """The network's sizes: the batch is the sample's, and so is what the network leaves open."""
    if len(shape) != len(sample):
        return shape  # the engine's check of the sample says what is wrong
    return tuple(
        there if axis == 0 or size is None else size
        for axis, (size, there) in enumerate(zip(shape, sample, strict=True))
    )
