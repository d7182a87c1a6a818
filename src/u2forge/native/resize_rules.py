"""Which Resize nodes the native engine runs: bilinear between half-pixel centres, of height and width only."""

from __future__ import annotations

import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import resize_coordinates
from u2forge.native.refusal import refused


def check_resize(node: ir.Node, values: StaticValues) -> None:
    """Raises EngineError where it is another kind of resizing."""
    mode = node.attributes.get_string("mode", "nearest")
    if mode != "linear":
        raise refused(node, expected="mode linear", found=f"with mode {mode}")
    coordinates = resize_coordinates(node, values)
    if coordinates != "pytorch_half_pixel":
        raise refused(
            node,
            expected="coordinate_transformation_mode pytorch_half_pixel, or half_pixel to more than one pixel",
            found=f"with {coordinates}",
        )
    if node.attributes.get_int("exclude_outside", 0):
        raise refused(node, expected="exclude_outside 0", found="with exclude_outside 1")
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise refused(node, expected="keep_aspect_ratio_policy stretch", found=f"with {policy}")
    if not resizes_space_only(node, values):
        raise refused(node, expected="height and width as the axes", found="of batch or channels")


def resizes_space_only(node: ir.Node, values: StaticValues) -> bool:
    """Whether batch and channels stay as they are."""
    source = node.inputs[0]
    shape = None if source is None else values.shape(source)
    if shape is None or len(shape) != 4:
        return False
    axes = [axis % 4 for axis in node.attributes.get_ints("axes", (0, 1, 2, 3))]
    for index, same in ((2, (1, 1)), (3, shape[:2])):
        factors = values.constant(node.inputs[index]) if index < len(node.inputs) else None
        if factors is None or not factors.size:
            continue
        by_axis = dict(zip(axes, factors.tolist(), strict=False))
        return all(by_axis.get(axis, same[axis]) == same[axis] for axis in (0, 1))
    return False
