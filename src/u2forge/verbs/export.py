"""export: a checkpoint of any known format → our float ONNX graph, or back to an upstream state dict."""

from __future__ import annotations

from typing import Literal, get_args

ExportFormat = Literal["onnx", "pth", "safetensors"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
