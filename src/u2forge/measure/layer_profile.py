"""A candidate → its layer table: times by the engine's own profiler, joined with the work that its graph asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from u2forge.engine.engine_entry import device_kind
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import choose_engine, profile_layers
from u2forge.measure.candidate import Candidate
from u2forge.measure.gpu_roofline import roofline_of_gpu
from u2forge.measure.layer_times import GroupRow, LayerRow, LayerTable
from u2forge.measure.roofline import Roofline, roofline_of_this_machine
from u2forge.measure.timed_network import filled_shape, noise_for
from u2forge.model_file.read import open_model_file

if TYPE_CHECKING:
    import onnx_ir as ir

OTHER = "other"
# What engines do together with the convolution before it, under the name of either.
_FOLLOWERS = {"Relu", "Sigmoid", "Clip", "QuantizeLinear", "DequantizeLinear"}
_PROCESSOR = {"auto", "cpu"}
# The engine, and the kind of its devices.
_NVIDIA = "cuda"


@dataclass(frozen=True)
class GraphWork:
    """What a graph asks for. macs: by convolution, for one picture; convolutions: the one that is meant, by each name
    that an engine may call it; stages: parts of the network with convolutions, by the names of their layers."""

    macs: Mapping[str, int]
    convolutions: Mapping[str, str]
    stages: tuple[str, ...]


def profile_candidate(candidate: Candidate, *, inferences: int) -> LayerTable:
    """The candidate's layers, of one inference at a time with all its threads, on noise; peaks and bandwidth of
    a processor or an NVIDIA GPU. Raises ModelError, EngineError, InputError, MissingDependencyError."""
    model = open_model_file(Path(candidate.path))
    engine = choose_engine(candidate.engine, manifest=model.manifest, device=candidate.device)
    specs = model.manifest.inputs
    shape = filled_shape(specs[0], batch_size=candidate.batch_size)
    layers = profile_layers(
        model.path,
        engine=engine,
        options=EngineOptions(device=candidate.device, threads=candidate.threads),
        inputs=noise_for(specs, batch_size=candidate.batch_size),
        inferences=inferences,
    )
    work = read_graph_work(
        model.path, height=shape[specs[0].layout.index("H")], width=shape[specs[0].layout.index("W")]
    )
    precisions = sorted({layer.precision for layer in layers if _convolution(layer, work)})
    return layer_table(
        layers,
        work,
        batch_size=shape[0],
        roofline=_roofline(candidate, engine, precisions),
        profiler=engine,
        inferences=inferences,
    )


def _roofline(candidate: Candidate, engine: str, precisions: Sequence[str]) -> Roofline:
    device = candidate.device.lower().partition("/")[0]
    if device_kind(device) == _NVIDIA or (engine == _NVIDIA and device == "auto"):
        return roofline_of_gpu(precisions, device=_NVIDIA if device == "auto" else device)
    if device in _PROCESSOR and engine != _NVIDIA:
        return roofline_of_this_machine(precisions, threads=candidate.threads)
    return Roofline({}, None, ("peaks and bandwidth are measured of processors and NVIDIA GPUs only",))


def read_graph_work(path: Path, *, height: int | None = None, width: int | None = None) -> GraphWork:
    """What the graph in a model file asks for, on pictures of that size where it leaves it open. Raises ModelError."""
    from u2forge.graph.read_onnx import read_onnx
    from u2forge.graph.summary import summarize

    model = read_onnx(path)
    summary = summarize(model, height=height, width=width)
    macs = {layer.name: layer.macs for layer in summary.layers if layer.macs}
    convolutions = {
        alias: str(node.name) for node in model.graph if node.name in macs for alias in _aliases(node)
    }
    return GraphWork(macs, convolutions, tuple(dict.fromkeys(name.split(".")[0] for name in macs)))


def _aliases(node: ir.Node) -> Iterable[str]:
    """The names of a convolution, of its output, and of all that only follows it."""
    while True:
        output = node.outputs[0]
        yield from (str(node.name), str(output.name))
        uses = list(output.uses())
        if len(uses) != 1 or uses[0].node.op_type not in _FOLLOWERS:
            return
        node = uses[0].node


def layer_table(
    layers: Sequence[LayerTime],
    work: GraphWork,
    *,
    batch_size: int,
    roofline: Roofline,
    profiler: str,
    inferences: int,
) -> LayerTable:
    """The table. A convolution has the graph's name and its stage; what the engine inserts belongs to the stage that
    its name tells, else to OTHER."""
    total_ms = sum(layer.ms for layer in layers)
    ends_ms = accumulate(layer.ms for layer in layers)
    peaks = roofline.peaks_gmac_per_s
    uncounted = dict(work.macs)
    rows = []
    for layer, end_ms in zip(layers, ends_ms, strict=True):
        convolution = _convolution(layer, work)
        name = convolution or layer.name
        macs = batch_size * uncounted.pop(convolution, 0) if convolution else 0
        speed = _gmac_per_s(macs, layer.ms)
        peak = peaks.get(layer.precision)
        rows.append(
            LayerRow(
                name=name,
                stage=_stage(name, work.stages),
                operator=layer.operator,
                kernel=layer.kernel,
                precision=layer.precision,
                ms=layer.ms,
                cumulative_ms=end_ms,
                share=_share(layer.ms, total_ms),
                macs=macs,
                gmac_per_s=speed,
                peak_share=None if speed is None or peak is None else speed / peak,
            )
        )
    return LayerTable(
        profiler=profiler,
        inferences=inferences,
        layers=tuple(rows),
        stages=_groups(rows, lambda row: row.stage, total_ms),
        operators=_groups(rows, lambda row: row.operator, total_ms),
        peaks_gmac_per_s=peaks,
        bandwidth_gb_per_s=roofline.bandwidth_gb_per_s,
        notes=roofline.notes,
    )


def layer_table_from(values: Mapping[str, Any]) -> LayerTable:
    """The table whose as_dict gave these values."""
    return LayerTable(
        **{
            **values,
            "layers": tuple(LayerRow(**row) for row in values["layers"]),
            "stages": tuple(GroupRow(**row) for row in values["stages"]),
            "operators": tuple(GroupRow(**row) for row in values["operators"]),
            "notes": tuple(values.get("notes", ())),
        }
    )


def _convolution(layer: LayerTime, work: GraphWork) -> str | None:
    return work.convolutions.get(layer.name) if layer.is_convolution else None


def _stage(name: str, stages: Sequence[str]) -> str:
    """The first stage that a name tells: `stage1` in `image_abcd_stage1.conv`, and not in `stage1d.conv`."""
    words = "|".join(re.escape(stage) for stage in stages)
    found = re.search(rf"(?<![A-Za-z0-9])({words})(?![A-Za-z0-9])", name) if stages else None
    return found[1] if found else OTHER


def _groups(
    rows: Sequence[LayerRow], key: Callable[[LayerRow], str], total_ms: float
) -> tuple[GroupRow, ...]:
    """Rows summed by their key, in the order of their first one."""
    members: dict[str, list[LayerRow]] = {}
    for row in rows:
        members.setdefault(key(row), []).append(row)
    return tuple(_group(name, found, total_ms) for name, found in members.items())


def _group(name: str, rows: Sequence[LayerRow], total_ms: float) -> GroupRow:
    ms, macs = sum(row.ms for row in rows), sum(row.macs for row in rows)
    return GroupRow(name, len(rows), ms, _share(ms, total_ms), macs, _gmac_per_s(macs, ms))


def _gmac_per_s(macs: int, ms: float) -> float | None:
    return macs / ms / 1e6 if macs and ms else None


def _share(ms: float, total_ms: float) -> float:
    return ms / total_ms if total_ms else 0.0
