"""A tiny model file, to see what an engine makes of a precision on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from u2forge.model_file.manifest import Manifest, Origin
from u2forge.model_file.write import write_model
from u2forge.precision import PrecisionMode
from u2forge.tensor_spec import TensorSpec

# Wide and large enough that an engine takes its usual kernels.
_CHANNELS = 32
_SIZE = 32


def write_probe_model(path: Path, precision: PrecisionMode) -> None:
    """Writes a model of two 3×3 convolutions, float32 (1, 32, 32, 32) in and out, all weights 1/288."""
    import onnx
    import onnx_ir

    shape = (1, _CHANNELS, _SIZE, _SIZE)
    weights = np.full((_CHANNELS, _CHANNELS, 3, 3), 1 / (9 * _CHANNELS), np.float32)
    convolutions = [
        onnx.helper.make_node("Conv", [source, "weights"], [target], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        for source, target in (("image", "between"), ("between", "d0"))
    ]
    graph = onnx.helper.make_graph(
        convolutions,
        "probe",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("d0", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
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
    write_model(onnx_ir.serde.deserialize_model(proto), manifest, path)
