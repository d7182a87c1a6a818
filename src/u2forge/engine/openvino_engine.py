"""The OpenVINO engine: default on CPUs; Intel GPUs and NPUs where OpenVINO finds them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from u2forge.elapsed import ms_since
from u2forge.engine.compiled_cache import compiled_model_folder
from u2forge.engine.fits_manifest import FoundTensor, check_fits_manifest
from u2forge.engine.integer_products import check_integer_products
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.processor import has_native_bfloat16, is_arm, usable_processors
from u2forge.engine.protocol import EngineInfo, EngineOptions, Phases, Tensors
from u2forge.errors import EngineError
from u2forge.model_file.read import ModelFile
from u2forge.precision import PrecisionMode, float_type
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import openvino

NAME = "openvino"
PRECISION_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}


_making_core = threading.Lock()


def openvino_core() -> openvino.Core:
    """The one Core of this process, which is never destroyed.

    Each one's processor plugin sets a stack for signal handlers in its thread, and takes it away with itself, also
    where a later one was told to restore it: after two of them a Ctrl-C ended the process by SIGSEGV (OpenVINO 2026.4;
    its SigAltStackSetup, pull request 11894).
    """
    with _making_core:
        return _only_core()


@cache
def _only_core() -> openvino.Core:
    import openvino

    return openvino.Core()


def open_openvino(model: ModelFile, options: EngineOptions) -> PooledEngine[openvino.InferRequest]:
    """The model, compiled. Raises EngineError where the device is missing or OpenVINO refuses the model."""
    start = time.perf_counter()
    core = openvino_core()
    device = find_device(core.available_devices, options.device)
    if device == "CPU":
        check_integer_products(model, engine=NAME)
    threads = options.threads or usable_processors()
    properties = compile_properties(core, model, device, threads=threads, streams=options.streams)
    compiled = _compiled(core, model, device, properties, options.cache_folder)
    check_fits_manifest(
        model,
        inputs=_found(compiled.inputs, model.manifest.inputs),
        outputs=_found(compiled.outputs, model.manifest.outputs),
    )
    engine_ms = ms_since(start)
    info = _info(core, compiled, model, device, threads, engine_ms)
    return PooledEngine(info, compiled.create_infer_request, partial(_infer, info.outputs))


def _infer(
    outputs: Sequence[TensorSpec], request: openvino.InferRequest, inputs: Tensors, phases: Phases
) -> Answer:
    import openvino

    clock = time.perf_counter
    start = clock()
    # OpenVINO reads their memory until the inference ends, and does not keep them.
    arrays = {name: np.require(array, requirements=("C", "W")) for name, array in inputs.items()}
    for name, array in arrays.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    accepted = handed_over = clock()
    try:
        request.start_async()
        accepted = clock()
    finally:
        # A single call of C code, which no Ctrl-C interrupts: nothing that OpenVINO still reads is freed, nor is a
        # busy request handed on. It returns at once where nothing was started.
        request.wait()
    computed = clock()
    answer = {spec.name: np.array(request.get_tensor(spec.name).data) for spec in outputs}
    phases.host_to_device_ms = (handed_over - start) * 1000
    phases.enqueue_ms = (accepted - handed_over) * 1000
    phases.compute_ms = (computed - accepted) * 1000
    phases.device_to_host_ms = (clock() - computed) * 1000
    return answer


def compile_properties(
    core: openvino.Core, model: ModelFile, device: str, *, threads: int, streams: int
) -> dict[str, Any]:
    """What the model is compiled with."""
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision_hint(core, device, model.manifest.precision),
        "NUM_STREAMS": streams,
    }
    if device == "CPU":
        # Pinning fights with the decoding threads, and is no faster without them: 772 ms to 803 ms in float32,
        # 156 ms both in bfloat16, medians on two processors.
        properties |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    return properties


def _compiled(
    core: openvino.Core, model: ModelFile, device: str, properties: dict[str, Any], cache: Path | None
) -> openvino.CompiledModel:
    """The compiled model, out of the cache where it is there and whole, else compiled and kept there.

    OpenVINO writes its cache as it goes: measured on the full network, that adds nothing to the peak memory of a
    first start, where export_model into a file of ours adds 350 MB; reading it back (mapped) halves the start.
    """
    if cache is None:
        return compile_graph(core, model, device, properties)
    with compiled_model_folder(cache / NAME, _cache_key(model, device, properties)) as folder:
        if folder is not None:
            properties = {**properties, "CACHE_DIR": str(folder)}
        return compile_graph(core, model, device, properties)


def compile_graph(
    core: openvino.Core, model: ModelFile, device: str, properties: dict[str, Any]
) -> openvino.CompiledModel:
    """The compiled model. Raises EngineError where OpenVINO refuses it."""
    try:
        return core.compile_model(str(model.path), device, properties)
    except (RuntimeError, MemoryError) as error:
        raise _not_compiled(model, device, error) from error


def _not_compiled(model: ModelFile, device: str, error: RuntimeError | MemoryError) -> EngineError:
    where = f"engine {NAME!r} on {device}, model {model.path}"
    if "bad_alloc" in str(error) or isinstance(error, MemoryError):
        return EngineError(
            where=where,
            expected=f"memory for {model.manifest.inputs[0]}",
            found="not enough of it",
            fix="choose a smaller batch or input size, or fewer streams",
        )
    return EngineError(
        where=where,
        expected="a graph that OpenVINO compiles",
        found=_last_line(error),
        fix="build the model again, or try another engine or device",
    )


def _cache_key(model: ModelFile, device: str, properties: dict[str, Any]) -> str:
    """All that OpenVINO's own name of a compiled model depends on, so that a folder holds one."""
    import openvino

    # OpenVINO names a compiled model by its file's place, not its content.
    facts = [model.content_sha256, str(model.path.resolve()), openvino.__version__, device, properties]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def openvino_devices() -> list[str]:
    """OpenVINO's names of the devices that it finds on this machine."""
    devices: list[str] = openvino_core().available_devices
    return devices


def find_device(devices: Sequence[str], asked: str) -> str:
    """OpenVINO's own name of the device asked for. Raises EngineError, with `devices`, where it is not among them."""
    if asked == "auto":
        return "CPU"
    for device in devices:
        if asked.lower() in (device.lower(), device.split(".")[0].lower()):
            return device
    raise EngineError(
        where=f"engine {NAME!r}, device {asked!r}",
        expected=f"one of {', '.join(devices)}",
        found="no such device on this machine",
        fix="choose one that `u2forge engines` lists, or install its driver",
    )


def precision_hint(core: openvino.Core, device: str, precision: PrecisionMode) -> str:
    """What to ask OpenVINO for, of all that is not in integers: half precision only where the device computes in it,
    else f32."""
    if float_type(precision) == "float32":
        return "f32"
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if device != "CPU" or is_arm():
        return "f16" if "FP16" in capabilities else "f32"
    # OpenVINO also lists BF16 and FP16 where it emulates them, slower than f32.
    return "bf16" if "BF16" in capabilities and has_native_bfloat16() is not False else "f32"


def executed_precisions(compiled: openvino.CompiledModel) -> Counter[str]:
    """How many convolutions (or, without any, nodes) run in which precision, as the compiled model reports it."""
    convolutions: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        kind, precision = (
            facts[key].astype(str) if key in facts else "" for key in ("layerType", "runtimePrecision")
        )
        name = PRECISION_NAMES.get(precision, precision)
        if kind in ("Convolution", "GroupConvolution", "Deconvolution"):
            convolutions[name] += 1
        elif kind not in ("Input", "Output", "Const", "Parameter", "Result") and name:
            others[name] += 1
    return convolutions or others


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:300]


def _found(ports: list[openvino.ConstOutput], specs: Sequence[TensorSpec]) -> list[FoundTensor]:
    """What OpenVINO says of them. A tensor has the names of all nodes that only pass it on, too."""
    return [
        (
            next((spec.name for spec in specs if spec.name in port.get_names()), port.get_any_name()),
            port.element_type.to_dtype().name,
            tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape),
        )
        for port in ports
    ]


def _info(
    core: openvino.Core,
    compiled: openvino.CompiledModel,
    model: ModelFile,
    device: str,
    threads: int,
    engine_ms: float,
) -> EngineInfo:
    import openvino

    counts = executed_precisions(compiled)
    return EngineInfo(
        engine=NAME,
        version=openvino.__version__.split("-")[0],
        device=device,
        device_name=str(core.get_property(device, "FULL_DEVICE_NAME")).strip(),
        precision_asked=model.manifest.precision,
        precision_executed=counts.most_common(1)[0][0] if counts else "unknown",
        precision_counts=dict(counts),
        threads=threads,
        streams=int(compiled.get_property("NUM_STREAMS")),
        inputs=model.manifest.inputs,
        outputs=model.manifest.outputs,
        opening_ms={"engine": engine_ms},
    )
