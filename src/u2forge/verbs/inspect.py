"""inspect: what is in a model file or a float graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.errors import InputError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import manifest_to_json
from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.model_file.read import holds_manifest, open_model_file
from u2forge.model_file.sidecar import has_sidecar, sidecar_path
from u2forge.report.run_table import text_table

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.graph.summary import GraphSummary


@dataclass(frozen=True)
class Inspection:
    """What a file holds. manifest: None for a graph that is no offline model; digest_checked: its content is what
    was written."""

    path: Path
    size_bytes: int
    manifest: Manifest | None
    digest_checked: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    summary: GraphSummary

    def as_dict(self) -> dict[str, object]:
        """The inspection as plain values, for JSON."""
        return {
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "manifest": None if self.manifest is None else manifest_to_json(self.manifest),
            "digest_checked": self.digest_checked,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "summary": asdict(self.summary),
        }

    def __str__(self) -> str:
        summary = self.summary
        operators = ", ".join(f"{count} {operator}" for operator, count in summary.operators.items())
        lines = [f"{self.path}: {self.size_bytes / 1e6:.1f} MB"]
        lines += (
            ["no manifest: a graph, not an offline model"] if self.manifest is None else _facts(self.manifest)
        )
        lines += [f"input  {text}" for text in self.inputs] + [f"output {text}" for text in self.outputs]
        lines += [
            f"{summary.nodes} nodes: {operators}",
            f"{summary.parameters / 1e6:.2f} M parameters in {summary.weight_bytes / 1e6:.1f} MB; "
            f"{summary.macs / 1e9:.2f} GMAC for one "
            + ("of a batch" if summary.height is None else f"picture of {summary.height} × {summary.width}"),
            "",
            _layer_table(summary),
        ]
        return "\n".join(lines)


def inspect(file: str | Path) -> Inspection:
    """What is in an offline model (its digest checked) or an ONNX graph. Raises ModelError on a broken file."""
    from u2forge.graph.read_onnx import read_onnx
    from u2forge.graph.summary import summarize

    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(
            where=f"inspecting {path}",
            expected="an offline model or an ONNX graph",
            found="a folder" if path.is_dir() else "no such file",
            fix="check the path",
        )
    if has_sidecar(path):
        open_model_file(path)
        raise InputError(
            where=f"inspecting {path}",
            expected="an ONNX file",
            found="a model of another format, whole and unchanged, which only its own SDK reads",
            fix=f"read its manifest, {sidecar_path(path).name}, or inspect the model built without --target",
        )
    manifest = open_model_file(path).manifest if holds_manifest(path) else None
    model = read_onnx(path)
    return Inspection(
        path=path,
        size_bytes=path.stat().st_size,
        manifest=manifest,
        digest_checked=manifest is not None,
        inputs=tuple(_described(value) for value in model.graph.inputs),
        outputs=tuple(_described(value) for value in model.graph.outputs),
        summary=summarize(model),
    )


def _described(value: onnx_ir.Value) -> str:
    sizes = ", ".join(map(str, value.shape)) if value.shape is not None else "unknown shape"
    dtype = value.dtype.numpy().name if value.dtype is not None else "unknown type"
    return f"{value.name}: {dtype} ({sizes})"


def _facts(manifest: Manifest) -> list[str]:
    origin = manifest.origin
    inside = "inside the graph" if manifest.embedded_preprocessing else "before it"
    profiles = f"profiles: pre {manifest.pre}, post {manifest.post}; pictures are normalised {inside}"
    return [
        f"{manifest.name} ({manifest.architecture}), {manifest.precision}, manifest of version "
        f"{manifest.schema_version}",
        f"made from {origin.file} ({origin.format}, sha256 {origin.sha256})",
        profiles
        if manifest.interface == "pictures"
        else "a model of tensors: only the program that it was built for knows what goes in and out",
        *(f"input {found.name}: from {found.smallest} to {found.largest}" for found in manifest.shape_ranges),
        "made by " + ", ".join(f"{name} {version}" for name, version in manifest.tools.items()),
        *([] if manifest.quantization is None else _quantization_facts(manifest.quantization)),
    ]


def _quantization_facts(record: QuantizationRecord) -> list[str]:
    calibration, accuracy = record.calibration, record.accuracy
    lines = [
        f"quantized: activations of {record.bits} bits, weights of {record.weight_bits} ({record.weight_granularity}), "
        f"{record.algorithm}; calibrated with {calibration.count} {calibration.source} "
        f"(sha256 {calibration.sha256[:16]}…)",
        *(f"in float: {layer.name}, as {layer.reason}" for layer in record.float_layers),
    ]
    if accuracy is None:
        return [*lines, "accuracy: unknown, built without a check"]
    return [
        *lines,
        f"accuracy: mean map difference {accuracy.mean_difference:.5f} to float32 (limit {accuracy.max_loss:g}), "
        f"worst IoU {accuracy.worst_iou:.3f} (limit {accuracy.min_iou:g}), {accuracy.pictures} pictures, "
        f"{accuracy.engine} in {accuracy.executed}",
    ]


def _layer_table(summary: GraphSummary) -> str:
    rows = [
        [
            layer.name,
            layer.operator,
            "×".join("?" if size is None else str(size) for size in layer.output_shape or ()),
            "" if layer.kernel is None else "×".join(map(str, layer.kernel)),
            "" if layer.dilation is None else str(layer.dilation[0]),
            f"{layer.macs / 1e9:.3f}",
            str(layer.weight_bytes),
        ]
        for layer in summary.layers
    ]
    return text_table(["layer", "operator", "output", "kernel", "dilation", "GMAC", "weight bytes"], rows)
