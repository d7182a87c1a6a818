"""Network, BuilderConfig, Calibrator and Builder of the double."""

from __future__ import annotations

import json
from typing import Any

import onnx

from magicmind.python.runtime import DataType, Dims, QuantizationAlgorithm, Status, status_of
from magicmind.python.runtime.model import Model
from magicmind.recorder import RECORDER


class Tensor:
    """An input or output of a network that is being built."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shape: list[int] = []
        self.kind = DataType.FLOAT16

    def set_dimension(self, dims: Dims) -> Status:
        self.shape = dims.GetDims()
        return status_of(RECORDER("set_dimension", self.name, self.shape))

    def set_data_type(self, kind: DataType) -> Status:
        self.kind = kind
        return status_of(RECORDER("set_data_type", self.name, kind.name))


class Network:
    def __init__(self) -> None:
        RECORDER("Network")
        self.graph: onnx.ModelProto | None = None
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []

    def fill(self, graph: onnx.ModelProto) -> None:
        self.graph = graph
        self.inputs = [Tensor(value.name) for value in graph.graph.input]
        self.outputs = [Tensor(value.name) for value in graph.graph.output]

    def get_input(self, index: int) -> Tensor:
        return self.inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self.outputs[index]

    def get_input_count(self) -> int:
        return len(self.inputs)

    def get_output_count(self) -> int:
        return len(self.outputs)


class BuilderConfig:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def parse_from_string(self, text: str) -> Status:
        self.values = json.loads(text)
        return status_of(RECORDER("parse_from_string", self.values))


class CalibDataInterface:
    pass


class Calibrator:
    def __init__(self, data: list[Any]) -> None:
        RECORDER("Calibrator", len(data))
        self.data = data

    def set_quantization_algorithm(self, algorithm: QuantizationAlgorithm) -> Status:
        return status_of(RECORDER("set_quantization_algorithm", algorithm.name))

    def calibrate(self, network: Network, config: BuilderConfig) -> Status:
        message = RECORDER("calibrate")
        # Twice, as an algorithm of several passes drives it.
        for _ in range(2):
            for source in self.data:
                source.reset()
                while source.next().ok():
                    sample = source.get_sample()
                    assert list(sample.shape) == source.get_shape().GetDims()
                    RECORDER("sample", source.get_data_type().name, sample.copy())
        return status_of(message)


class Builder:
    def build_model(self, name: str, network: Network, config: BuilderConfig) -> Model | None:
        if RECORDER("build_model", name) is not None:
            return None
        assert network.graph is not None
        facts = {
            "config": config.values,
            "inputs": [[one.name, one.shape, one.kind.name] for one in network.inputs],
            "outputs": [[one.name, one.kind.name] for one in network.outputs],
        }
        return Model(facts, network.graph)
