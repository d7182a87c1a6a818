"""What holds for every pass: same numbers as before, and a second run that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from small_networks import run_reference
from u2forge.errors import ModelError


def graph(text: str, **initializers: Any) -> ir.Model:
    """A model in ONNX's own text form, operator set 18, with these initializers."""
    proto = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 18]> g ' + text)
    for name, array in initializers.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return ir.from_proto(proto)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def content(model: ir.Model) -> bytes:
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def check_same_numbers(
    step: ir.passes.PassBase, model: ir.Model, feeds: Mapping[str, Any], *, tolerance: float = 1e-6
) -> None:
    """Runs the pass twice: it must change the graph, keep its numbers, and then find nothing more to do."""
    before = run_reference(model, feeds)
    assert step(model).modified
    after = run_reference(model, feeds)
    assert [a.shape for a in after] == [b.shape for b in before]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, atol=tolerance, rtol=tolerance)
    check_left_alone(step, model)


def check_left_alone(step: ir.passes.PassBase, model: ir.Model) -> None:
    before = content(model)
    assert not step(model).modified
    assert content(model) == before


def refusal(step: ir.passes.PassBase, model: ir.Model) -> str:
    """The message of the ModelError with which the pass refuses; the graph stays as it was."""
    before = content(model)
    with pytest.raises(ModelError) as caught:
        step(model)
    assert content(model) == before
    return str(caught.value)
