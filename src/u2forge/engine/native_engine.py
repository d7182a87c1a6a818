"""The native engine: u2forge's own kernels for x86 processors, Winograd in float32, bfloat16 and 16-bit integers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.fits_manifest import check_fits_manifest
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.processor import has_amx_bfloat16, processor_name, usable_processors
from u2forge.engine.protocol import EngineInfo, EngineOptions, Phases, Tensors
from u2forge.errors import EngineError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import ModelFile
from u2forge.native.encode import output_sizes
from u2forge.native.layers import Layer
from u2forge.native.prepared import Prepared, planned_layers, prepared_network
from u2forge.native.refusal import UnsupportedGraphError
from u2forge.precision import PrecisionMode, float_type, quantized_bits
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    from u2forge.native import _kernels

NAME = "native"
_CPU = "cpu"
_PORTABLE = "portable"
_BFLOAT16 = "bf16"


def open_native(model: ModelFile, options: EngineOptions) -> PooledEngine[_kernels.Session]:
    """The model, its weights packed (once, then kept in the cache). Raises EngineError where the kernels do not run
    such a graph or precision, or the device is not there; ModelError where the graph is not what its manifest says."""
    start = time.perf_counter()
    level = level_of(find_device(native_devices(), options.device))
    threads = options.threads or usable_processors()
    streams = min(options.streams, threads)
    opened = open_program(model, options, level)
    new_session = partial(opened.program.session, max(1, threads // streams), level)
    counts = convolution_precisions(opened.prepared)
    info = EngineInfo(
        engine=NAME,
        version=version("u2forge"),
        device=_CPU if options.device == "auto" else options.device.lower(),
        device_name=f"{processor_name()} ({level})",
        precision_asked=model.manifest.precision,
        # Also where more of them are next to the picture and to the logits.
        precision_executed=opened.prepared.precision if counts[opened.prepared.precision] else "float32",
        precision_counts=dict(counts),
        threads=threads,
        streams=streams,
        inputs=model.manifest.inputs,
        outputs=model.manifest.outputs,
        opening_ms={"engine": ms_since(start)},
    )
    infer = partial(_infer, opened.prepared, info.outputs)
    try:
        return PooledEngine(info, new_session, infer)
    except (MemoryError, RuntimeError) as error:
        raise _short_of(model, "memory and threads", error) from error


class OpenedProgram(NamedTuple):
    """The prepared network, and the program that its sessions run."""

    prepared: Prepared
    program: _kernels.Program


def open_program(model: ModelFile, options: EngineOptions, level: str) -> OpenedProgram:
    """What sessions of that instruction set run. Raises as open_native does."""
    from u2forge.native import _kernels

    precision = executed_precision(model.manifest.precision, level)
    _check_sizes(model.manifest)
    try:
        prepared = prepared_network(
            model,
            precision=precision,
            cache_folder=None if options.cache_folder is None else options.cache_folder / NAME,
            kernels_version=_kernels.KERNELS_VERSION,
            checksum=_kernels.checksum,
        )
    except MemoryError as error:
        raise _short_of(model, "memory", error) from error
    _kernels.release_free_memory()
    check_fits_manifest(model, inputs=prepared.inputs, outputs=prepared.outputs)
    _check_float_layers(model.manifest, prepared.layers)
    try:
        program = _kernels.Program(precision, prepared.buffers, prepared.steps, prepared.weights)
    except ValueError as error:
        raise EngineError(
            where=f"engine {NAME!r}, model {model.path}",
            expected="a plan that the kernels accept",
            found=str(error),
            fix="build the model again, or run it with the engine openvino or onnxruntime",
        ) from error
    return OpenedProgram(prepared, program)


def check_graph(model: ModelFile) -> None:
    """Raises UnsupportedGraphError where open_native would. Packs no weights."""
    _check_sizes(model.manifest)
    precision = executed_precision(model.manifest.precision, level_of(_CPU))
    _check_float_layers(model.manifest, planned_layers(model, precision))


def session_arrays(
    prepared: Prepared, tensors: Tensors
) -> tuple[list[NDArray[Any]], list[NDArray[np.float32]]]:
    """What a session reads, and what it is to write, each in the order of the graph."""
    inputs = [np.ascontiguousarray(tensors[name]) for name, _, _ in prepared.inputs]
    return inputs, [
        np.empty((len(inputs[0]), *sizes), np.float32) for sizes in output_sizes(prepared.buffers)
    ]


def _infer(
    prepared: Prepared,
    outputs: Sequence[TensorSpec],
    session: _kernels.Session,
    tensors: Tensors,
    phases: Phases,
) -> Answer:
    start = time.perf_counter()
    inputs, results = session_arrays(prepared, tensors)
    handed_over = time.perf_counter()
    # A single call of C code, which no Ctrl-C interrupts.
    session.run(inputs, results)
    phases.host_to_device_ms = (handed_over - start) * 1000
    phases.compute_ms = ms_since(handed_over)
    by_name = {name: array for (name, _, _), array in zip(prepared.outputs, results, strict=True)}
    return {spec.name: by_name[spec.name] for spec in outputs}


def _short_of(model: ModelFile, what: str, error: MemoryError | RuntimeError) -> EngineError:
    """The error of a machine that has too little memory, or lets this process have no more threads."""
    return EngineError(
        where=f"engine {NAME!r}, model {model.path}",
        expected=f"{what} for {model.manifest.inputs[0]}",
        found="not enough of it" if isinstance(error, MemoryError) else str(error).strip()[:300],
        fix="choose a smaller input size, fewer threads or fewer streams",
    )


def _check_sizes(manifest: Manifest) -> None:
    for spec in (*manifest.inputs, *manifest.outputs):
        if not _has_fixed_size(spec):
            raise UnsupportedGraphError(
                where=f"engine {NAME!r}, tensor {spec.name!r}",
                expected="fixed height and width",
                found=str(spec),
                fix="build the model with --input-height and --input-width, or run it with another engine",
            )


def _has_fixed_size(spec: TensorSpec) -> bool:
    return None not in spec.shape[1:]


def _check_float_layers(manifest: Manifest, layers: Sequence[Layer]) -> None:
    """Raises UnsupportedGraphError where 16 bits would compute a layer that the accuracy gate kept in float."""
    record = manifest.quantization
    kept = {} if record is None else {layer.name: layer.reason for layer in record.float_layers}
    for layer in layers:
        if layer.is_convolution and layer.precision == "int16" and layer.name in kept:
            raise UnsupportedGraphError(
                where=f"engine {NAME!r}, layer {layer.name!r}",
                expected="16 bits in every layer between rectified channels",
                found=f"one that is kept in float: {kept[layer.name]}",
                fix="run this model with the engine openvino or onnxruntime, or build it again so that its gate "
                "holds without layers in float",
            )


def convolution_precisions(prepared: Prepared) -> Counter[str]:
    """How many convolutions run in which precision: those next to the picture and to the logits in float32."""
    return Counter(layer.precision for layer in prepared.layers if layer.is_convolution)


def native_devices() -> list[str]:
    """The processor, and each instruction set that it can be held to, best first."""
    from u2forge.native import _kernels

    return [_CPU, *_kernels.levels()]


def find_device(devices: Sequence[str], asked: str) -> str:
    """The device asked for, cpu for auto. Raises EngineError, with `devices`, where it is not among them."""
    name = _CPU if asked == "auto" else asked.lower()
    if name in devices:
        return name
    raise EngineError(
        where=f"engine {NAME!r}, device {asked!r}",
        expected=f"one of {', '.join(devices)}",
        found="no such device, or none that this processor and this build have",
        fix="leave --device out: the best is taken",
    )


def level_of(device: str) -> str:
    """The instruction set that a device of this engine stands for."""
    from u2forge.native import _kernels

    return _kernels.levels()[0] if device == _CPU else device


def executed_precision(asked: PrecisionMode, level: str) -> str:
    """What the convolutions between rectified channels compute in: half precision only where the processor multiplies
    it. Raises EngineError on 8 bits, which no kernel computes in."""
    bits = quantized_bits(asked)
    if bits == 8:
        raise EngineError(
            where=f"engine {NAME!r}, precision {asked}",
            expected="force_float32, force_float16 or a qint16 precision",
            found="8 bits, too few for Winograd's transforms",
            fix="run this model with the engine openvino or onnxruntime, or build it in qint16_mixed_float32",
        )
    if bits == 16:
        return "int16"
    half = float_type(asked) == "float16" and level.endswith(_BFLOAT16)
    return "bfloat16" if half else "float32"


def is_fastest(manifest: Manifest, *, device: str) -> bool:
    """Whether `auto` takes it: on a processor with AVX2 or more, in all it computes in, but where AMX multiplies
    bfloat16 sixteen times as fast as its vector units (OpenVINO uses it, these kernels do not). Its kernels are made
    for U²-Net: it is not tried on models of tensors."""
    if manifest.interface != "pictures":
        return False
    if device != "auto" and device.lower() not in native_devices():
        return False
    if native_devices()[1] == _PORTABLE or quantized_bits(manifest.precision) == 8:
        return False
    if not all(map(_has_fixed_size, (*manifest.inputs, *manifest.outputs))):
        return False
    return manifest.precision != "force_float16" or has_amx_bfloat16() is not True
