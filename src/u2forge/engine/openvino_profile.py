"""What OpenVINO's own profiler says of each layer of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from u2forge.engine.integer_products import check_integer_products
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.openvino_engine import (
    NAME,
    PRECISION_NAMES,
    compile_graph,
    compile_properties,
    find_device,
    openvino_core,
)
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions, Tensors
from u2forge.model_file.read import ModelFile

if TYPE_CHECKING:
    import openvino

_WARM_UP = 2
# OpenVINO's name of a convolution whose bias was a part of it in the graph.
_SUFFIX = "/WithoutBiases"


def profile_openvino(
    model: ModelFile, options: EngineOptions, inputs: Tensors, *, inferences: int
) -> list[LayerTime]:
    """The executed layers in their order, of one inference after the other. Raises EngineError as open_openvino does.

    A compiled model from a cache was made without counters: none is used.
    """
    import openvino

    core = openvino_core()
    device = find_device(core.available_devices, options.device)
    if device == "CPU":
        check_integer_products(model, engine=NAME)
    threads = options.threads or usable_processors()
    properties = compile_properties(core, model, device, threads=threads, streams=options.streams)
    compiled = compile_graph(core, model, device, {**properties, "PERF_COUNT": True})
    request = compiled.create_infer_request()
    arrays = {name: np.require(array, requirements=("C", "W")) for name, array in inputs.items()}
    for name, array in arrays.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    for _ in range(_WARM_UP):
        request.infer()
    seen: dict[str, list[openvino.ProfilingInfo]] = {}
    for _ in range(inferences):
        request.infer()
        for info in request.get_profiling_info():
            if info.status == openvino.ProfilingInfo.Status.EXECUTED:
                seen.setdefault(info.node_name, []).append(info)
    return list(_layer_times(seen, _precisions(compiled)))


def _layer_times(
    seen: dict[str, list[openvino.ProfilingInfo]], precisions: dict[str, str]
) -> Iterator[LayerTime]:
    for name, infos in seen.items():
        times_ms = [info.real_time.total_seconds() * 1000 for info in infos]
        yield LayerTime(
            name=name.removesuffix(_SUFFIX),
            operator=infos[0].node_type,
            kernel=infos[0].exec_type,
            precision=precisions.get(name, "unknown"),
            ms=sum(times_ms) / len(times_ms),
            best_ms=min(times_ms),
        )


def _precisions(compiled: openvino.CompiledModel) -> dict[str, str]:
    """What each node of the compiled model computes in."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if "runtimePrecision" in facts:
            precision = facts["runtimePrecision"].astype(str)
            found[node.get_friendly_name()] = PRECISION_NAMES.get(precision, precision)
    return found
