"""The ONNX Runtime engine: CPUs, and whatever accelerators the installed build has providers for."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from u2forge.engine.fits_manifest import FoundTensor, check_fits_manifest
from u2forge.engine.integer_products import check_integer_products
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.processor import processor_name, usable_processors
from u2forge.engine.protocol import EngineInfo, EngineOptions, Phases, Tensors
from u2forge.errors import EngineError, InputError
from u2forge.model_file.read import ModelFile
from u2forge.precision import float_type, quantized_bits
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

NAME = "onnxruntime"
CPU_PROVIDER = "CPUExecutionProvider"
# Device name → provider, and the package that brings it.
PROVIDERS = {
    "cpu": (CPU_PROVIDER, "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime (macOS)"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
}
_ERRORS_ONLY = 3
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{
        f"tensor({name})": name
        for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
    },
}


class OpenedSession(NamedTuple):
    """convolution_counts: how many convolutions of an 8-bit graph it runs in which precision, on the processor only.

    engine_ms: how long ONNX Runtime took to make it. Of an 8-bit graph that is with the writing of the optimized graph,
    which ONNX Runtime does as it goes; reading it is not in it.
    """

    session: onnxruntime.InferenceSession
    convolution_counts: Counter[str]
    engine_ms: float


def open_onnxruntime(model: ModelFile, options: EngineOptions) -> PooledEngine[onnxruntime.IOBinding]:
    """The model, in a session on one device. Raises EngineError where the device is missing or refuses the model."""
    device = find_device(onnxruntime_devices(), options.device)
    if device == "cpu":
        check_integer_products(model, engine=NAME)
    threads = options.threads or usable_processors()
    streams = _streams(device, threads=threads, asked=options.streams)
    settings = session_settings(model, device, threads=threads, streams=streams)
    opened = open_session(model, device, settings)
    session = opened.session
    check_fits_manifest(model, inputs=_found(session.get_inputs()), outputs=_found(session.get_outputs()))
    info = _info(model, device, threads, streams, opened)
    # On other devices `run` copies by itself, and does not tell how long that takes.
    infer = partial(_infer_bound if device == "cpu" else _infer_in_one, session, info.outputs)
    return PooledEngine(info, session.io_binding, infer)


def session_settings(
    model: ModelFile, device: str, *, threads: int, streams: int
) -> onnxruntime.SessionOptions:
    """What a session of the model is made with."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _ERRORS_ONLY
    # Said explicitly: where it is not, ONNX Runtime pins its threads, which containers may forbid.
    # All runs of a session share its helpers, each run brings a thread of its own: in all, `threads`.
    settings.intra_op_num_threads = max(1, threads - _streams(device, threads=threads, asked=streams) + 1)
    settings.inter_op_num_threads = 1
    # One block for all that a run needs is planned beside what the arena already holds: 0.26 GB more at the
    # peak on the full network, and no faster.
    settings.enable_mem_pattern = False
    if PROVIDERS[device][0] != CPU_PROVIDER:
        # Else nodes that the accelerator cannot run would move to the processor without a word.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if quantized_bits(model.manifest.precision) == 16:
        # Its rewriting of quantized graphs is made for 8 bits: at 16, ONNX Runtime 1.32 answers wrongly with it (mean
        # map difference 0.17), and exactly without.
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    return settings


def open_session(model: ModelFile, device: str, settings: onnxruntime.SessionOptions) -> OpenedSession:
    """The model's session. Raises EngineError where the device refuses the model, or another one took it."""
    import onnxruntime

    provider = PROVIDERS[device][0]
    bits = quantized_bits(model.manifest.precision)
    counts: Counter[str] = Counter()
    try:
        with _optimized_graph(settings, wanted=bits == 8 and device == "cpu") as optimized:
            start = time.perf_counter()
            session = onnxruntime.InferenceSession(
                str(model.path), settings, providers=[(provider, _provider_options(device, model))]
            )
            engine_ms = (time.perf_counter() - start) * 1000
            if optimized is not None:
                counts = _convolution_counts(optimized)
    except Exception as error:
        raise EngineError(
            where=f"engine {NAME!r} on {device}, model {model.path}",
            expected="a graph that ONNX Runtime loads",
            found=str(error).strip()[:300],
            fix="build the model again, or try another engine or device",
        ) from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise EngineError(
            where=f"engine {NAME!r}, device {device!r}",
            expected=f"{provider}",
            found=f"ONNX Runtime took {session.get_providers()[0]} instead",
            fix="install the device's driver and libraries, or choose --device cpu",
        )
    return OpenedSession(session, counts, engine_ms)


def _streams(device: str, *, threads: int, asked: int) -> int:
    return min(asked, threads) if device == "cpu" else asked


def _infer_bound(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[TensorSpec],
    binding: onnxruntime.IOBinding,
    inputs: Tensors,
    phases: Phases,
) -> Answer:
    clock = time.perf_counter
    start = clock()
    arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    try:
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for spec in outputs:
            binding.bind_output(spec.name)
        handed_over = clock()
        # It returns when all is computed: an interrupt waits for it.
        session.run_with_iobinding(binding)
        computed = clock()
        answer = dict(zip((spec.name for spec in outputs), binding.copy_outputs_to_cpu(), strict=True))
    finally:
        binding.clear_binding_inputs()
        binding.clear_binding_outputs()
    phases.host_to_device_ms = (handed_over - start) * 1000
    phases.compute_ms = (computed - handed_over) * 1000
    phases.device_to_host_ms = (clock() - computed) * 1000
    return answer


def _infer_in_one(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[TensorSpec],
    binding: onnxruntime.IOBinding,
    inputs: Tensors,
    phases: Phases,
) -> Answer:
    names = [spec.name for spec in outputs]
    start = time.perf_counter()
    answer = dict(zip(names, session.run(names, dict(inputs)), strict=True))
    phases.compute_ms = (time.perf_counter() - start) * 1000
    return answer


def onnxruntime_devices() -> list[str]:
    """The devices that the installed ONNX Runtime has a provider for."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [device for device, (provider, _) in PROVIDERS.items() if provider in available]


def find_device(present: Sequence[str], asked: str) -> str:
    """The device asked for, cpu for auto. Raises InputError on an unknown name, EngineError on a missing device."""
    name = "cpu" if asked == "auto" else asked.lower()
    if name not in PROVIDERS:
        raise InputError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(PROVIDERS)}",
            found="an unknown name",
            fix=f"choose one that is there: {', '.join(present)}",
        )
    if name not in present:
        raise EngineError(
            where=f"engine {NAME!r}, device {asked!r}",
            expected=f"one of {', '.join(present)}, which the installed ONNX Runtime has",
            found=f"no {PROVIDERS[name][0]} in it",
            fix=f"install the package {PROVIDERS[name][1]}, or choose another device",
        )
    return name


@contextmanager
def _optimized_graph(settings: onnxruntime.SessionOptions, *, wanted: bool) -> Iterator[Path | None]:
    """Where the session that is made within puts the graph that it runs; None where that is not wanted."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="u2forge-optimized-") as folder:
        path = Path(folder) / "optimized.onnx"
        settings.optimized_model_filepath = str(path)
        yield path


def _convolution_counts(path: Path) -> Counter[str]:
    """How many convolutions of an optimized graph run in integers, and how many in float32."""
    import onnx

    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    integer = kinds["QLinearConv"] + kinds["ConvInteger"]
    counts = {"int8": integer, "float32": kinds["Conv"] + kinds["FusedConv"] + kinds["NhwcFusedConv"]}
    return Counter({precision: count for precision, count in counts.items() if count})


def _provider_options(device: str, model: ModelFile) -> dict[str, Any]:
    if device == "cuda":
        # On by default there, and no float32: products keep 10 bits of the mantissa.
        return {"use_tf32": 0 if float_type(model.manifest.precision) == "float32" else 1}
    if device == "tensorrt":
        return {"trt_fp16_enable": float_type(model.manifest.precision) == "float16"}
    return {}


def _executed(device: str, model: ModelFile, counts: Counter[str]) -> str:
    """ONNX Runtime computes in the types that the graph says, float32 in ours, but where a provider option says more;
    of an 8-bit graph on the processor, the one that most of the convolutions that it made of it run in.

    It does not report what a provider makes of it: on these devices the answer is what was configured.
    """
    if counts:
        return counts.most_common(1)[0][0]
    half = float_type(model.manifest.precision) == "float16"
    if half and device == "cuda":
        return "tensorfloat32"
    return "float16" if half and device == "tensorrt" else "float32"


def _found(arguments: list[onnxruntime.NodeArg]) -> list[FoundTensor]:
    return [
        (
            argument.name,
            _DTYPES.get(argument.type, argument.type),
            tuple(size if isinstance(size, int) else None for size in argument.shape),
        )
        for argument in arguments
    ]


def _info(model: ModelFile, device: str, threads: int, streams: int, opened: OpenedSession) -> EngineInfo:
    import onnxruntime

    return EngineInfo(
        engine=NAME,
        version=onnxruntime.__version__,
        device=device,
        device_name=processor_name() if device == "cpu" else PROVIDERS[device][0],
        precision_asked=model.manifest.precision,
        precision_executed=_executed(device, model, opened.convolution_counts),
        precision_counts=dict(opened.convolution_counts),
        threads=threads,
        streams=streams,
        inputs=model.manifest.inputs,
        outputs=model.manifest.outputs,
        opening_ms={"engine": opened.engine_ms},
    )
