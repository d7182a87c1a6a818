"""Steps that programs of MagicMind take, and calibration data that notes how it is driven."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import u2forge.magicmind as mm


class Noise(mm.CalibDataInterface):
    """Samples of noise; of 8-bit pictures all grey levels."""

    def __init__(
        self, shape: Sequence[int], *, count: int = 3, data_type: mm.DataType = mm.DataType.FLOAT32
    ) -> None:
        self.shape = tuple(shape)
        self.count = count
        self.data_type = data_type
        self.position = 0
        self.calls: list[str] = []

    def get_shape(self) -> mm.Dims:
        self.calls.append("get_shape")
        return mm.Dims(self.shape)

    def get_data_type(self) -> mm.DataType:
        self.calls.append("get_data_type")
        return self.data_type

    def get_sample(self) -> NDArray[Any]:
        self.calls.append("get_sample")
        random = np.random.default_rng(self.position)
        if self.data_type is mm.DataType.UINT8:
            return random.integers(0, 256, self.shape, np.uint8)
        return random.standard_normal(self.shape).astype(np.float32)

    def next(self) -> mm.Status:
        self.calls.append("next")
        if self.position == self.count:
            return mm.Status(mm.Code.OUT_OF_RANGE, "no more")
        self.position += 1
        return mm.Status.OK()

    def reset(self) -> mm.Status:
        self.calls.append("reset")
        self.position = 0
        return mm.Status.OK()


def parsed(path: Path, *dims: Sequence[int], kind: mm.ModelKind = mm.ModelKind.kOnnx) -> mm.Network:
    network = mm.Network()
    assert mm.Parser(kind).parse(network, str(path)).ok()
    for index, sizes in enumerate(dims):
        assert network.get_input(index).set_dimension(mm.Dims(sizes)).ok()
    return network


def config(*parts: dict[str, Any], precision: str = "force_float32") -> mm.BuilderConfig:
    found = mm.BuilderConfig()
    for part in ({"precision_config": {"precision_mode": precision}}, *parts):
        status = found.parse_from_string(json.dumps(part))
        assert status.ok(), status
    return found


def built(
    network: mm.Network,
    settings: mm.BuilderConfig,
    *data: mm.CalibDataInterface,
    algorithm: str = "EQNM_ALGORITHM",
) -> mm.Model:
    if data:
        calibrator = mm.Calibrator(list(data))
        assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm[algorithm]).ok()
        status = calibrator.calibrate(network, settings)
        assert status.ok(), status
    model = mm.Builder().build_model("model", network, settings)
    assert model is not None
    return model


class Running:
    """A model on device 0, a context and a queue."""

    def __init__(self, model: mm.Model) -> None:
        device = mm.Device()
        assert device.active().ok()
        engine = model.create_i_engine(mm.Model.EngineConfig())
        queue = device.create_queue()
        assert engine is not None
        assert queue is not None
        context = engine.create_i_context()
        assert context is not None
        self.engine, self.queue, self.context = engine, queue, context

    def __call__(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        inputs = self.context.create_inputs()
        for tensor, array in zip(inputs, arrays, strict=True):
            status = tensor.from_numpy(array)
            assert status.ok(), status
        outputs: list[mm.Tensor] = []
        status = self.context.enqueue(inputs, outputs, self.queue)
        assert status.ok(), status
        assert self.queue.sync().ok()
        return [tensor.asnumpy() for tensor in outputs]


def reference(path: Path, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """What ONNX Runtime makes of the file itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {value.name: array for value, array in zip(session.get_inputs(), arrays, strict=True)}
    return list(session.run(None, feeds))


def worst(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    """The largest difference, as a share of the largest number of that output."""
    assert [array.shape for array in found] == [array.shape for array in expected]
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(found, expected, strict=True)
    ]
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-9)) for a, b in pairs)


def noise(*shape: int, seed: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
