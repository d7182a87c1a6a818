"""The error of a graph that the native engine does not run: it names the node and the engines that do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from u2forge.errors import EngineError

# Who only catches the error need not load the graph library.
if TYPE_CHECKING:
    import onnx_ir as ir

_FIX = "run this model with the engine openvino or onnxruntime"


class UnsupportedGraphError(EngineError):
    """The graph is none that the kernels compute; other engines may."""


def refused(node: ir.Node, *, expected: str, found: str) -> UnsupportedGraphError:
    """The error of one node; its operator stands before `found`."""
    return UnsupportedGraphError(
        where=f"engine 'native', node {node_name(node)!r}",
        expected=expected,
        found=f"{operator(node)} {found}".rstrip(),
        fix=_FIX,
    )


def refused_value(name: str, *, expected: str, found: str) -> UnsupportedGraphError:
    """The error of an input, an output or another part of the graph that is no node."""
    return UnsupportedGraphError(where=f"engine 'native', {name}", expected=expected, found=found, fix=_FIX)


def node_name(node: ir.Node) -> str:
    """The node's name, or that of its first output where it has none: names are optional in ONNX."""
    return str(node.name or next((value.name for value in node.outputs), ""))


def operator(node: ir.Node) -> str:
    """The operator, with its domain where that is not ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)
