"""Networks of U²-Net's structure with few channels and random weights, and two ways to run a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.architecture import Architecture, architecture_of, expected_parameters
from u2forge.graph.build import graph_from_arrays
from u2forge.graph.load import Network
from u2forge.origin import Origin

# Widths all different, so that a swapped pair of them cannot fit by chance.
TINY = architecture_of(
    "u2net_custom", mids=(2, 3, 2, 3, 4, 2, 3, 2, 3, 2, 4), outs=(3, 4, 5, 4, 6, 5, 4, 6, 5, 3, 4)
)

Array = NDArray[np.float32]


def random_arrays(architecture: Architecture, *, batch_norm: bool, seed: int = 0) -> dict[str, Array]:
    """Weights that keep the activations' scale, with batch-norm statistics far from the identity."""
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in expected_parameters(architecture, batch_norm=batch_norm).items():
        if name.endswith("running_var"):
            array = random.uniform(0.5, 2, shape)
        elif len(shape) == 4:
            array = random.normal(size=shape) * np.sqrt(1 / np.prod(shape[1:]))
        else:
            array = random.normal(size=shape) * 0.2 + (1 if name.endswith("bn_s1.weight") else 0)
        arrays[name] = array.astype(np.float32)
    return arrays


def random_network(*, batch_norm: bool = True, seed: int = 0) -> Network:
    arrays = random_arrays(TINY, batch_norm=batch_norm, seed=seed)
    return Network("tiny", TINY, arrays, Origin("tiny.pth", "pth", "0" * 64))


def random_graph(*, batch_norm: bool = True, seed: int = 0) -> ir.Model:
    return graph_from_arrays(TINY, random_arrays(TINY, batch_norm=batch_norm, seed=seed))


def random_batch(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run_onnxruntime(model: ir.Model, feeds: Mapping[str, Any]) -> list[Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feeds)))


def run_reference(model: ir.Model, feeds: Mapping[str, Any]) -> list[Array]:
    """By the ONNX project's reference evaluator, once its checker has passed the graph."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return list(ReferenceEvaluator(proto).run(None, dict(feeds)))


def worst_difference(first: list[Array], second: list[Array]) -> float:
    assert [a.shape for a in first] == [a.shape for a in second]
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))
