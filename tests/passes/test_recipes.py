"""The whole recipe: small, equal, deterministic, and at home in both engines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pass_checks import content

from small_networks import random_batch, random_graph, run_onnxruntime, worst_difference
from u2forge.errors import ModelError
from u2forge.passes.recipes import finished, offline_graph
from u2forge.precision import PrecisionMode
from u2forge.profiles import MEAN_RGB, STD_RGB

SEVEN = {"Conv": 119, "Relu": 112, "Concat": 51, "Resize": 38, "MaxPool": 33, "Add": 11, "Sigmoid": 1}
# Two float32 libraries, probabilities of at most 1; and weights rounded to 11 bits in over 100 layers.
TOLERANCE = {"force_float32": 1e-5, "force_float16": 2e-2}


def built(model: ir.Model | None = None, **options: Any) -> ir.Model:
    defaults: dict[str, Any] = {
        "outputs": "d0",
        "batch_size": 1,
        "height": 64,
        "width": 64,
        "precision": "force_float32",
        "embed_preprocessing": False,
    }
    return offline_graph(model or random_graph(), **(defaults | options))


def run_openvino(model: ir.Model, feeds: dict[str, Any]) -> list[np.ndarray]:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    loaded = core.read_model(ir.to_proto(model).SerializeToString())
    compiled = core.compile_model(loaded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(feeds).values())


def test_seven_operators_are_left() -> None:
    assert Counter(node.op_type for node in built().graph) == SEVEN
    assert Counter(node.op_type for node in built(outputs="all").graph) == SEVEN | {"Sigmoid": 7}


def test_the_model_given_stays_as_it_is() -> None:
    model = random_graph()
    before = content(model)
    built(model, precision="force_float16", embed_preprocessing=True)
    assert content(model) == before


def test_same_input_same_bytes() -> None:
    options = {"precision": "force_float16", "embed_preprocessing": True}
    assert content(built(**options)) == content(built(**options))


@pytest.mark.parametrize("runner", [run_onnxruntime, run_openvino], ids=["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("precision", "batch_size", "size", "embedded"),
    [
        ("force_float32", 1, (97, 131), True),
        ("force_float32", 4, (64, 96), False),
        ("force_float32", None, (32, 32), True),
        ("force_float16", None, (97, 131), False),
        ("force_float16", 4, (64, 96), True),
    ],
)
def test_both_engines_run_every_variant(
    precision: Any, batch_size: int | None, size: tuple[int, int], embedded: bool, runner: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size or 3, *size, 3), dtype=np.uint8)
    pixels[0] //= 3
    largest = pixels.max((1, 2, 3), keepdims=True).astype(np.float32)
    batch = ((pixels / largest - MEAN_RGB) / STD_RGB).transpose(0, 3, 1, 2).astype(np.float32)
    expected = run_onnxruntime(random_graph(), {"image": batch})
    model = built(
        outputs="all",
        batch_size=batch_size,
        height=size[0],
        width=size[1],
        precision=precision,
        embed_preprocessing=embedded,
    )
    found = runner(model, {"image": pixels if embedded else batch})
    assert worst_difference(found, expected) < TOLERANCE[precision]


@settings(max_examples=5, deadline=None)
@given(height=st.integers(32, 1024), width=st.integers(32, 1024))
@example(height=32, width=1024)
@example(height=33, width=65)
def test_any_size_within_the_limits_builds_and_runs(height: int, width: int) -> None:
    model = built(height=height, width=width)
    assert Counter(node.op_type for node in model.graph) == SEVEN
    (output,) = run_onnxruntime(model, {"image": random_batch(1, 3, height, width)})
    assert output.shape == (1, 1, height, width)
    assert np.isfinite(output).all()


@pytest.mark.parametrize("precision", ["force_float32", "qint8_mixed_float32", "qint16_mixed_float32"])
def test_a_graph_of_float32_is_finished_as_it_is(precision: PrecisionMode) -> None:
    model = built()
    before = content(model)
    assert finished(model, precision) is model
    assert content(model) == before


@pytest.mark.parametrize("precision", ["force_float16", "qint8_mixed_float16", "qint16_mixed_float16"])
def test_a_graph_of_float16_is_finished_with_its_float_weights_halved(precision: PrecisionMode) -> None:
    model = built()
    assert finished(model, precision) is model
    kinds = Counter(value.dtype for value in model.graph.initializers.values() if value.const_value.size > 1)
    assert kinds[ir.DataType.FLOAT16] == SEVEN["Conv"]


def test_our_own_errors_come_through() -> None:
    with pytest.raises(ModelError, match="input height: expected 32 to 1024 pixels; found 16"):
        built(height=16)
