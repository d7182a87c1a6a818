"""Network: what a Parser has read, and what the program then says of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from u2forge.errors import InputError
from u2forge.magicmind.data_types import DataType, data_type_of, graph_type
from u2forge.magicmind.dims import Dims, dims_of, shape_of
from u2forge.magicmind.status import PreconditionError, Status, status_of
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.graph.parsed_network import ParsedNetwork, ParsedTensor
    from u2forge.quantize.options import RangeAlgorithm
    from u2forge.verbs.quantize_tensors import CalibratedTensors


@dataclass(frozen=True, eq=False)
class NetworkCalibration:
    """What a Calibrator left for the Builder. bits: that it was made for; algorithm: a name of ours."""

    found: CalibratedTensors
    bits: int
    algorithm: RangeAlgorithm


class Network:
    """Empty until a Parser fills it."""

    def __init__(self) -> None:
        self._parsed: ParsedNetwork | None = None
        self._inputs: list[NetworkTensor] = []
        self._outputs: list[NetworkTensor] = []
        self._output_specs: tuple[object, Sequence[TensorSpec]] | None = None
        self.calibration: NetworkCalibration | None = None

    def get_input_count(self) -> int:
        """How many inputs there are."""
        return len(self._inputs)

    def get_output_count(self) -> int:
        """How many outputs there are."""
        return len(self._outputs)

    def get_input(self, index: int) -> NetworkTensor:
        """The input of that number. Raises IndexError where there is none."""
        return _at(self._inputs, index, "input")

    def get_output(self, index: int) -> NetworkTensor:
        """The output of that number. Raises IndexError where there is none."""
        return _at(self._outputs, index, "output")

    @property
    def inputs(self) -> Sequence[NetworkTensor]:
        """All inputs."""
        return tuple(self._inputs)

    @property
    def outputs(self) -> Sequence[NetworkTensor]:
        """All outputs."""
        return tuple(self._outputs)

    @property
    def parsed(self) -> ParsedNetwork:
        """What was parsed. Raises PreconditionError where nothing was."""
        if self._parsed is None:
            raise PreconditionError(
                where="network",
                expected="one that a Parser has filled",
                found="an empty one",
                fix="call parser.parse(network, file) first, and look at the Status that it returns",
            )
        return self._parsed

    def fill(self, parsed: ParsedNetwork) -> None:
        """Makes this the network that was parsed; what was said of another one is forgotten."""
        self._parsed = parsed
        self._inputs = [NetworkTensor(self, tensor, is_output=False) for tensor in parsed.inputs]
        self._outputs = [NetworkTensor(self, tensor, is_output=True) for tensor in parsed.outputs]
        self._output_specs = None
        self.calibration = None

    def output_spec(self, name: str) -> TensorSpec | None:
        """What follows from the inputs' sizes, None where these are not known yet. Raises ModelError."""
        shapes = {tensor.name: tensor.shape for tensor in self._inputs}
        if self._parsed is None or any(shape is None for shape in shapes.values()):
            return None
        if self._output_specs is None or self._output_specs[0] != shapes:
            self._output_specs = (shapes, self._inferred())
        names = [tensor.name for tensor in self._outputs]
        return self._output_specs[1][names.index(name)]

    def _inferred(self) -> Sequence[TensorSpec]:
        from u2forge.verbs.build_tensors import TensorModelRequest, float_model

        shapes = {tensor.name: tensor.shape or () for tensor in self._inputs}
        request = TensorModelRequest("shapes", "force_float32", shapes)
        return float_model(self.parsed, request).manifest.outputs


class NetworkTensor:
    """An input or output of a network."""

    def __init__(self, network: Network, parsed: ParsedTensor, *, is_output: bool) -> None:
        self.name = parsed.name
        self.is_output = is_output
        self._network = network
        self._parsed = parsed
        self._shape = parsed.shape
        self._type: DataType | None = None

    def set_dimension(self, dims: Dims) -> Status:
        """Fixes the sizes of an input; -1 leaves an axis open. An output has the sizes that follow."""
        return status_of(lambda: self._set_dimension(dims))

    def get_dimension(self) -> Dims:
        """The sizes, -1 for an open one; none at all where their number is not known yet. Raises ModelError."""
        return dims_of(self.shape)

    def set_data_type(self, data_type: DataType) -> Status:
        """The element type that the built model takes or gives; the network computes as before."""
        return status_of(lambda: self._set_data_type(data_type))

    def get_data_type(self) -> DataType:
        """The element type. Raises PreconditionError where an output's is not known before the inputs' sizes are."""
        if self._type is not None:
            return self._type
        if self._parsed.dtype is not None:
            return data_type_of(self._parsed.dtype.numpy().name)
        found = self._network.output_spec(self.name)
        if found is None:
            raise PreconditionError(
                where=f"get_data_type of {self.name!r}",
                expected="sizes of all inputs, which this output's type is found with",
                found="none yet",
                fix="call set_dimension(mm.Dims((1, 3, 320, 320))) on each input, say",
            )
        return data_type_of(found.dtype)

    def get_name(self) -> str:
        """Its name, which the built model keeps."""
        return self.name

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """The sizes, None for an open one. Raises ModelError where an output's contradict each other."""
        if not self.is_output:
            return self._shape
        found = self._network.output_spec(self.name)
        return None if found is None else found.shape

    @property
    def changed_type(self) -> onnx_ir.DataType | None:
        """The type that was set, None where none was."""
        return None if self._type is None else graph_type(self._type, where=f"tensor {self.name!r}")

    def _set_dimension(self, dims: Dims) -> None:
        found = shape_of(dims if isinstance(dims, Dims) else Dims(dims))
        where = f"set_dimension of {self.name!r}"
        if self.is_output:
            raise InputError(
                where=where,
                expected="an input",
                found="an output, whose sizes follow from the inputs'",
                fix="set the inputs' dimensions",
            )
        parsed = self._parsed.shape
        if parsed is not None and len(parsed) != len(found):
            raise InputError(
                where=where,
                expected=f"{len(parsed)} sizes, as {dims_of(parsed)}",
                found=f"{len(found)}",
                fix="give one for each axis of the parsed network",
            )
        if parsed is not None and len(parsed) > 1 and parsed[1] is not None and found[1] != parsed[1]:
            raise InputError(
                where=where,
                expected=f"{parsed[1]} on the second axis, which the weights are made for",
                found=f"{dims!r}",
                fix="give the axes in the parsed network's order; convert_input_layout changes it for the built model",
            )
        self._shape = found

    def _set_data_type(self, data_type: DataType) -> None:
        graph_type(data_type, where=f"set_data_type of {self.name!r}")
        self._type = data_type


def _at(tensors: Sequence[NetworkTensor], index: int, kind: str) -> NetworkTensor:
    if not 0 <= index < len(tensors):
        why = "parse a file into it first" if not tensors else f"the last one is {len(tensors) - 1}"
        raise IndexError(f"{kind} {index} of a network with {len(tensors)} {kind}s: {why}")
    return tensors[index]
