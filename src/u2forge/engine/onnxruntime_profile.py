"""What ONNX Runtime's own profiler says of each layer of a model."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from u2forge.engine.integer_products import check_integer_products
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.onnxruntime_devices import NAME, device_of, find_device, onnxruntime_devices
from u2forge.engine.onnxruntime_session import open_session, session_settings, usable_streams
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions, Tensors
from u2forge.model_file.read import ModelFile

_WARM_UP = 2
_KERNEL = "_kernel_time"
# What ONNX Runtime appends to a node's name: a number where it would be there twice, and its own memory layout.
_SUFFIXES = re.compile(r"(_nchwc|_token_\d+)+$")
_INTEGER = {"int8", "uint8"}
_PRECISIONS = {"float": "float32", "double": "float64"}


def profile_onnxruntime(
    model: ModelFile, options: EngineOptions, inputs: Tensors, *, inferences: int
) -> list[LayerTime]:
    """The executed layers in their order, of one inference after the other. Raises EngineError as open_onnxruntime
    does. kernel: the provider; ONNX Runtime does not tell more."""
    device = device_of(find_device(onnxruntime_devices(), options.device))
    if device.kind == "cpu":
        check_integer_products(model, engine=NAME)
    threads = options.threads or usable_processors()
    streams = usable_streams(device, threads=threads, asked=options.streams)
    settings = session_settings(model, device, threads=threads, streams=streams)
    settings.enable_profiling = True
    arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    names = [spec.name for spec in model.manifest.outputs]
    with tempfile.TemporaryDirectory(prefix="u2forge-profile-") as folder:
        settings.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(model, device, settings, cache_folder=options.cache_folder).session
        for _ in range(_WARM_UP + inferences):
            session.run(names, arrays)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return list(_layer_times(events, inferences=inferences))


def _layer_times(events: list[dict[str, Any]], *, inferences: int) -> Iterator[LayerTime]:
    """events: of a trace, times in microseconds; the last `inferences` runs in it count."""
    start = sorted(event["ts"] for event in events if event["name"] == "model_run")[-inferences]
    seen: dict[str, list[dict[str, Any]]] = {}
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["cat"] == "Node" and event["name"].endswith(_KERNEL) and event["ts"] >= start:
            seen.setdefault(event["args"]["node_index"], []).append(event)
    for found in seen.values():
        facts = found[0]["args"]
        times_ms = [event["dur"] / 1000 for event in found]
        yield LayerTime(
            name=_SUFFIXES.sub("", found[0]["name"].removesuffix(_KERNEL)),
            operator=facts["op_name"],
            kernel=facts["provider"],
            precision=_precision(facts),
            ms=sum(times_ms) / inferences,
            best_ms=min(times_ms),
        )


def _precision(facts: Mapping[str, Any]) -> str:
    """The type of the first input: ONNX Runtime's kernels compute in it, in 32-bit sums of 8-bit integers."""
    types = [name for shape in facts.get("input_type_shape", ()) for name in shape]
    if not types:
        return "unknown"
    return "int8" if types[0] in _INTEGER else _PRECISIONS.get(types[0], types[0])
