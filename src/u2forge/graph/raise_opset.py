"""A graph of an older operator set → the same graph in a newer one, by the ONNX project's own converter."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx import version_converter

from u2forge.errors import ModelError


def raise_opset(model: ir.Model, version: int, *, where: str) -> ir.Model:
    """The model itself where it is of that operator set or a later one, else a new one.

    Raises ModelError where an operator of it has no successor that the converter knows.
    """
    found = model.opset_imports.get("", 0)
    if found >= version:
        return model
    try:
        converted = version_converter.convert_version(ir.to_proto(model), version)
        onnx.checker.check_model(converted)
        return ir.from_proto(converted)
    # The converter and the checker raise many kinds; whichever it is, this graph cannot be converted.
    except Exception as error:
        raise ModelError(
            where=where,
            expected=f"a graph of ONNX operator set {version}, or one that can be raised to it",
            found=f"operator set {found}: {str(error).strip()[:200] or type(error).__name__}",
            fix=f"export the network again with opset_version={version}",
        ) from error
