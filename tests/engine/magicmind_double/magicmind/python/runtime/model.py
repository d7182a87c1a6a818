"""Model, Engine, Context and tensors of the double; a serialized model is its facts and the ONNX graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from magicmind.python.runtime import DataType, Device, Dims, Queue, Status, status_of, track
from magicmind.recorder import RECORDER

_MAGIC = b"MAGICMIND DOUBLE\n"


class Model:
    class EngineConfig:
        def __init__(self) -> None:
            self.device_type = ""

    def __init__(self, facts: dict[str, Any] | None = None, graph: onnx.ModelProto | None = None) -> None:
        self.facts: dict[str, Any] = facts or {}
        self.graph = graph

    def serialize_to_file(self, path: str) -> Status:
        message = RECORDER("serialize_to_file", Path(path).name)
        assert self.graph is not None
        graph = self.graph.SerializeToString(deterministic=True)
        Path(path).write_bytes(_MAGIC + json.dumps(self.facts).encode() + b"\n" + graph)
        return status_of(message)

    def deserialize_from_file(self, path: str) -> Status:
        message = RECORDER("deserialize_from_file")
        magic, facts, graph = Path(path).read_bytes().split(b"\n", 2)
        assert magic + b"\n" == _MAGIC
        self.facts, self.graph = json.loads(facts), onnx.ModelProto.FromString(graph)
        return status_of(message)

    def get_input_names(self) -> list[str]:
        return [_named(name) for name, _, _ in self.facts["inputs"]]

    def get_output_names(self) -> list[str]:
        return [_named(name) for name, _ in self.facts["outputs"]]

    def get_input_dimensions(self) -> list[Dims]:
        return [Dims(tuple(self.outer_shape(shape))) for _, shape, _ in self.facts["inputs"]]

    def get_output_dimensions(self) -> list[Dims]:
        (_, (batch, _, height, width), _), *_ = self.facts["inputs"]
        return [Dims((batch, 1, height, width)) for _ in self.facts["outputs"]]

    def get_input_data_types(self) -> list[DataType]:
        return [DataType[kind] for _, _, kind in self.facts["inputs"]]

    def get_output_data_types(self) -> list[DataType]:
        return [DataType[kind] for _, kind in self.facts["outputs"]]

    def create_i_engine(self, config: Model.EngineConfig) -> Engine | None:
        if RECORDER("create_i_engine", config.device_type) is not None:
            return None
        return Engine(self)

    def outer_shape(self, shape: list[int]) -> list[int]:
        if "convert_input_layout" not in self.facts["config"]:
            return shape
        batch, channels, height, width = shape
        return [batch, height, width, channels]


def _named(name: str) -> str:
    return f"graph/{name}:0" if RECORDER.renamed else name


class Engine:
    def __init__(self, model: Model) -> None:
        import onnxruntime

        assert model.graph is not None
        track("Engine", self)
        self.model = model
        self.session = onnxruntime.InferenceSession(
            model.graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def create_i_context(self) -> Context | None:
        return Context(self) if RECORDER("create_i_context") is None else None


class Context:
    def __init__(self, engine: Engine) -> None:
        track("Context", self)
        self.engine = engine

    def create_inputs(self) -> list[DeviceTensor]:
        RECORDER("create_inputs")
        return [DeviceTensor() for _ in self.engine.model.facts["inputs"]]

    def enqueue(self, inputs: list[DeviceTensor], outputs: list[DeviceTensor], queue: Queue) -> Status:
        message = RECORDER("enqueue")
        assert not queue.waiting, "one inference at a time in a queue"
        assert all(tensor.device is not None and tensor.device.is_active for tensor in inputs)
        outputs += [DeviceTensor() for _ in self.engine.model.facts["outputs"]]
        if message is None:
            queue.waiting.append(lambda: self._compute(inputs, outputs))
        return status_of(message)

    def _compute(self, inputs: list[DeviceTensor], outputs: list[DeviceTensor]) -> None:
        facts, session = self.engine.model.facts, self.engine.session
        arrays = {
            name: _inner(tensor.asnumpy(), facts["config"], str(index))
            for index, ((name, _, _), tensor) in enumerate(zip(facts["inputs"], inputs, strict=True))
        }
        for tensor, array in zip(outputs, session.run(None, arrays), strict=True):
            tensor.array = array


def _inner(array: Any, config: dict[str, Any], index: str) -> Any:
    """What the parsed network takes, of what the built one does."""
    if index in config.get("convert_input_layout", {}):
        array = array.transpose(0, 3, 1, 2)
    if index in config.get("insert_bn_before_firstnode", {}):
        given = config["insert_bn_before_firstnode"][index]
        mean, variance = (np.array(given[key]).reshape(1, -1, 1, 1) for key in ("mean", "var"))
        array = ((array - mean) / np.sqrt(variance)).astype(np.float32)
    return array


class DeviceTensor:
    def __init__(self) -> None:
        self.array: Any = None
        self.device: Device | None = None

    def from_numpy(self, array: Any) -> None:
        RECORDER("from_numpy", array.shape)
        self.array = array

    def to(self, device: Device) -> None:
        RECORDER("to", device.id)
        self.device = device

    def asnumpy(self) -> Any:
        return self.array

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.array.shape
        return shape
