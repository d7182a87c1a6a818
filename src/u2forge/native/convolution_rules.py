"""Which Conv and MaxPool nodes the native engine runs."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.native.network import Tensor
from u2forge.native.plan import Kind, Layout
from u2forge.native.refusal import refused


@dataclass(frozen=True)
class Window:
    """A square kernel, 1 or 3, that keeps the size of what it reads."""

    kernel: int
    dilation: int


def convolution_window(node: ir.Node, kernel: tuple[int, int]) -> Window:
    """The window of a Conv. kernel: of its weights. Raises EngineError on another kernel, a stride, groups, uneven
    dilation, and padding that changes the size."""
    if kernel not in ((1, 1), (3, 3)):
        raise refused(node, expected="a kernel of 3×3 or 1×1", found=f"with a kernel of {_times(kernel)}")
    group = node.attributes.get_int("group", 1)
    if group != 1:
        raise refused(node, expected="one group", found=f"with {group} groups")
    strides = _ints(node, "strides", (1, 1))
    if strides != (1, 1):
        raise refused(node, expected="stride 1", found=f"with strides {_times(strides)}")
    dilations = _ints(node, "dilations", (1, 1))
    if dilations[0] != dilations[-1] or dilations[0] < 1:
        raise refused(
            node, expected="the same dilation both ways", found=f"with dilations {_times(dilations)}"
        )
    dilation = dilations[0] if kernel == (3, 3) else 1
    pads, same = _pads(node), (dilation * (kernel[0] // 2),) * 4
    if pads not in (same, None):
        raise refused(node, expected=f"pads {same}, which keep the size", found=f"with pads {pads}")
    return Window(kernel[0], dilation)


def convolution_kind(node: ir.Node, window: Window, source: Tensor, *, rectified: bool) -> Kind:
    """Which of the kernels computes a Conv. rectified: whether a Relu, and nothing else, reads it. Raises EngineError
    where none does."""
    blocked = source.layout is Layout.BLOCKED
    kinds = {
        (3, True, True): Kind.CONVOLUTION,
        (3, False, True): Kind.FIRST_CONVOLUTION,
        (3, True, False): Kind.SIDE_CONVOLUTION,
        (1, False, False): Kind.POINTWISE_CONVOLUTION,
    }
    kind = kinds.get((window.kernel, blocked, rectified))
    if kind is None:
        what = "rectified channels" if blocked else "a picture or logits"
        raise refused(
            node,
            expected="3×3 of rectified channels, 3×3 with a Relu that alone reads it, or 1×1 of logits without Relu",
            found=f"of {window.kernel}×{window.kernel}, of {what}, {'with' if rectified else 'without'} Relu",
        )
    if kind is not Kind.CONVOLUTION and window.dilation != 1:
        raise refused(
            node,
            expected="dilation 1 where it reads a picture or gives logits",
            found=f"with dilation {window.dilation}",
        )
    return kind


def check_pool(node: ir.Node, values: StaticValues) -> None:
    """Raises EngineError unless each 2×2 gives one pixel, and at odd sides the last row and column give theirs."""
    window = (_ints(node, "kernel_shape", ()), _ints(node, "strides", (1, 1)))
    if window != ((2, 2), (2, 2)):
        raise refused(
            node,
            expected="2×2 with stride 2",
            found=f"of {_times(window[0])} with stride {_times(window[1])}",
        )
    pads, dilations = _pads(node), _ints(node, "dilations", (1, 1))
    if pads != (0, 0, 0, 0) or dilations != (1, 1):
        raise refused(
            node, expected="no padding and no dilation", found=f"with pads {pads}, dilations {dilations}"
        )
    source = node.inputs[0]
    below, above = (None if v is None else values.shape(v) for v in (source, node.outputs[0]))
    if below is None or above is None or [-(-(size or 0) // 2) for size in below[2:]] != list(above[2:]):
        raise refused(node, expected="ceil_mode 1 at odd sizes", found=f"from {below} to {above}")


def _pads(node: ir.Node) -> tuple[int, ...] | None:
    """None: as many as keep the size."""
    padding = node.attributes.get_string("auto_pad", "NOTSET")
    if padding in ("SAME_UPPER", "SAME_LOWER"):
        return None
    return (0, 0, 0, 0) if padding == "VALID" else _ints(node, "pads", (0, 0, 0, 0))


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes.get_ints(name, default)) or default


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
