"""A tiny model file, to see what an engine makes of a precision on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from u2forge.model_file.manifest import Manifest, Origin
from u2forge.model_file.write import write_model
from u2forge.precision import PrecisionMode, quantized_bits
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import onnx

    from u2forge.quantize.native_ranges import NativeRanges


@dataclass(frozen=True)
class ProbeShape:
    """A chain of equal convolutions, rectified but for the last: channels in and out, kernel × kernel, on size × size
    pictures."""

    channels: int
    size: int
    kernel: int = 3
    layers: int = 4

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one of the convolutions; those with padding, which kernels may leave out, do not
        count."""
        reach = self.kernel // 2
        taps = sum(self.size - abs(offset) for offset in range(-reach, reach + 1))
        return (self.channels * taps) ** 2


# Wide and large enough that an engine takes its usual kernels.
USUAL = ProbeShape(channels=32, size=32)


def write_probe_model(path: Path, precision: PrecisionMode, *, probe: ProbeShape = USUAL) -> None:
    """Writes a model of that chain, float32 (1, channels, size, size) in and out, each output the mean of what it is
    made of; in a quantized precision, the same with rounded activations and weights."""
    import onnx
    import onnx_ir

    from u2forge.quantize.native_ranges import add_native_ranges

    shape = (1, probe.channels, probe.size, probe.size)
    bits = quantized_bits(precision)
    nodes: list[onnx.NodeProto] = []
    weights, constants = _weights(nodes, probe, bits)
    source = "image"
    for index in range(1, probe.layers + 1):
        rounded = source if bits is None else _rounded(nodes, source)
        sums = "d0" if index == probe.layers else f"sums_{index}"
        nodes.append(
            onnx.helper.make_node(
                "Conv",
                [rounded, weights],
                [sums],
                name=f"layer_{index}",
                kernel_shape=[probe.kernel] * 2,
                pads=[probe.kernel // 2] * 4,
            )
        )
        if index < probe.layers:
            source = f"between_{index}"
            nodes.append(onnx.helper.make_node("Relu", [sums], [source], name=f"rectified_{index}"))
    if bits is not None:
        constants |= {
            "scale": np.array(1 / 255 if bits == 8 else 1 / 65535, np.float32),
            "zero_point": np.array(0, f"uint{bits}"),
        }
    graph = onnx.helper.make_graph(
        nodes,
        "probe",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("d0", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset, ir_version = (21, 10) if bits == 16 else (18, 8)
    proto = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir_version
    )
    manifest = Manifest(
        name="probe",
        architecture="probe",
        precision=precision,
        origin=Origin(file="", format="onnx", sha256=""),
        inputs=(TensorSpec("image", shape, "float32", "NCHW"),),
        outputs=(TensorSpec("d0", shape, "float32", "NCHW"),),
        pre="official",
        post="stretch",
        embedded_preprocessing=False,
        tools={},
    )
    model = onnx_ir.serde.deserialize_model(proto)
    if bits == 16:
        add_native_ranges(model, _ranges(probe))
    write_model(model, manifest, path)


def _ranges(probe: ProbeShape) -> NativeRanges:
    """Of pictures from 0 to 1."""
    from u2forge.quantize.native_ranges import NativeRanges

    zeros, ones = np.zeros(probe.channels), np.ones(probe.channels)
    activations = ["image", *(f"between_{index}" for index in range(1, probe.layers))]
    layers = [f"layer_{index}" for index in range(1, probe.layers + 1)]
    return NativeRanges(
        channel_low=dict.fromkeys(activations, zeros),
        channel_high=dict.fromkeys(activations, ones),
        pre_activation=dict.fromkeys(layers, (zeros, ones)),
        tile_maximum={},
    )


def _weights(
    nodes: list[onnx.NodeProto], probe: ProbeShape, bits: int | None
) -> tuple[str, dict[str, NDArray[Any]]]:
    """The name of the weights, and the constants that they are made of; quantized ones get their node."""
    import onnx

    shape = (probe.channels, probe.channels, probe.kernel, probe.kernel)
    value = 1 / (probe.kernel**2 * probe.channels)
    if bits is None:
        return "weights", {"weights": np.full(shape, value, np.float32)}
    level = 2 ** (bits - 1) - 1
    nodes.append(onnx.helper.make_node("DequantizeLinear", ["levels", "weight_scale"], ["weights"]))
    return "weights", {
        "levels": np.full(shape, level, f"int{bits}"),
        "weight_scale": np.array(value / level, np.float32),
    }


def _rounded(nodes: list[onnx.NodeProto], source: str) -> str:
    import onnx

    nodes += [
        onnx.helper.make_node("QuantizeLinear", [source, "scale", "zero_point"], [f"{source}.quantized"]),
        onnx.helper.make_node(
            "DequantizeLinear", [f"{source}.quantized", "scale", "zero_point"], [f"{source}.rounded"]
        ),
    ]
    return f"{source}.rounded"
