"""Corrupted graphs, which no digest stops: each is refused, or runs; none takes the process down."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from calibrated_networks import calibrated, float_graph

from u2forge.errors import U2ForgeError
from u2forge.graph.read_onnx import read_onnx
from u2forge.native.compile_plan import compile_plan, packed_in_memory
from u2forge.native.encode import encoded_buffers, encoded_steps
from u2forge.quantize.insert_qdq import quantized_graph
from u2forge.quantize.native_ranges import add_native_ranges, native_ranges, read_native_ranges
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.quantized_layers import quantized_layers

# More of them: U2FORGE_CORRUPTIONS=10000 python -m pytest tests/native/test_corrupted_models.py
COUNT = int(os.environ.get("U2FORGE_CORRUPTIONS", "300"))


def serialized(precision: str) -> bytes:
    if precision == "int16":
        layers = quantized_layers(float_graph(), calibrated().activations, QuantizeOptions(bits=16))
        model = quantized_graph(layers)
        add_native_ranges(model, native_ranges(layers, calibrated()))
    else:
        model = float_graph()
    return bytes(ir.to_proto(model).SerializeToString())


def corrupted(data: bytes, random: np.random.Generator) -> bytes:
    """A few bytes replaced, near the front or anywhere; or cut off; or a piece doubled."""
    damaged = bytearray(data)
    kind = random.integers(10)
    if kind == 0:
        return bytes(damaged[: random.integers(len(damaged))])
    if kind == 1:
        first, length = random.integers(len(damaged)), int(random.integers(1, 200))
        return bytes(damaged[:first] + damaged[first : first + length] + damaged[first:])
    for _ in range(random.integers(1, 6)):
        damaged[random.integers(len(damaged))] = random.integers(256)
    return bytes(damaged)


@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_no_corrupted_graph_takes_the_process_down(precision: str, tmp_path: Path) -> None:
    kernels = pytest.importorskip("u2forge.native._kernels", reason="the native kernels are not built")
    whole, random = serialized(precision), np.random.default_rng(7)
    path = tmp_path / "model.onnx"
    ran = 0
    for _ in range(COUNT // 2):
        path.write_bytes(corrupted(whole, random))
        try:
            model = read_onnx(path)
            ranges = read_native_ranges(model) if precision == "int16" else None
            plan, weights = packed_in_memory(compile_plan(model, precision, ranges))
        except U2ForgeError:
            continue
        try:
            program = kernels.Program(precision, encoded_buffers(plan), encoded_steps(plan), weights)
        except ValueError:
            continue
        inputs = [buffer for buffer in plan.buffers if buffer.input_index is not None]
        outputs = [buffer for buffer in plan.buffers if buffer.output_index is not None]
        outputs.sort(key=lambda buffer: buffer.output_index or 0)
        arrays = [np.ones((1, one.count, one.height, one.width), np.float32) for one in inputs]
        answers = [np.empty((1, one.count, one.height, one.width), np.float32) for one in outputs]
        program.session(2, kernels.levels()[0]).run(arrays, answers)
        ran += 1
    # Not all were refused: a flipped bit in weights is another network.
    assert ran > COUNT // 50
