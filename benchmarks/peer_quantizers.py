"""The float model quantized by NNCF and by ONNX Runtime, with their own defaults. Runs in an environment of its own:
`precision_table.py` and `peers.py` install it and call this.

    python peer_quantizers.py MODEL.onnx INPUTS.npy OUT [NAME …]

INPUTS: float32 (N, 3, H, W), network inputs. Writes into OUT: nncf_openvino.xml (NNCF on the OpenVINO graph),
nncf_onnx.onnx (NNCF on the ONNX graph), onnxruntime_static.onnx (ONNX Runtime's quantize_static); NAME: these only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    model, inputs, out = (Path(word) for word in sys.argv[1:4])
    only = sys.argv[4:]
    batches = np.load(inputs, mmap_mode="r")
    out.mkdir(parents=True, exist_ok=True)
    for name, quantize in (
        ("nncf_openvino.xml", nncf_openvino),
        ("nncf_onnx.onnx", nncf_onnx),
        ("onnxruntime_static.onnx", onnxruntime_static),
    ):
        if not (out / name).exists() and (not only or name in only):
            quantize(model, batches, out / name)


def nncf_openvino(model: Path, batches: Any, target: Path) -> None:
    import nncf
    import openvino

    core = openvino.Core()
    quantized = nncf.quantize(
        core.read_model(str(model)), nncf.Dataset(list(range(len(batches))), reader(batches))
    )
    openvino.save_model(quantized, str(target), compress_to_fp16=False)


def nncf_onnx(model: Path, batches: Any, target: Path) -> None:
    import nncf
    import onnx

    graph = onnx.load(str(model))
    name = graph.graph.input[0].name
    take = reader(batches)
    dataset = nncf.Dataset(list(range(len(batches))), lambda index: {name: take(index)})
    onnx.save(nncf.quantize(graph, dataset), str(target))


def onnxruntime_static(model: Path, batches: Any, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    name = onnx.load(str(model), load_external_data=False).graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.items: Iterator[Any] = ({name: batch[None]} for batch in batches)

        def get_next(self) -> Any:
            return next(self.items, None)

    quantize_static(str(model), str(target), Reader())


def reader(batches: Any) -> Any:
    return lambda index: np.ascontiguousarray(batches[index : index + 1])


if __name__ == "__main__":
    main()
