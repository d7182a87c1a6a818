"""A model on one of ONNX Runtime's devices → its session, or the reason why there is none."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from u2forge.engine.compiled_cache import compiled_model_folder
from u2forge.engine.onnxruntime_devices import CPU_PROVIDER, NAME, Device
from u2forge.engine.onnxruntime_libraries import check_libraries
from u2forge.engine.onnxruntime_provider_options import cache_options, provider_options
from u2forge.engine.signed_integers import check_signed_integers
from u2forge.errors import EngineError
from u2forge.model_file.read import ModelFile
from u2forge.precision import quantized_bits

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY, _FATAL_ONLY = 3, 4
_NO_MEMORY = re.compile(
    r"out of memory|failed to allocate memory|not enough memory|CUDNN_STATUS_ALLOC_FAILED|bad_alloc", re.I
)
_ON_PROCESSOR = re.compile(r"fallback to CPU EP has been explicitly disabled", re.I)
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: [^;]+")


class OpenedSession(NamedTuple):
    """convolution_counts: how many convolutions of an 8-bit graph it runs in which precision, on the processor only.

    engine_ms: how long ONNX Runtime took to make it. Of an 8-bit graph that is with the writing of the optimized graph,
    which ONNX Runtime does as it goes; reading it is not in it.
    """

    session: onnxruntime.InferenceSession
    convolution_counts: Counter[str]
    engine_ms: float


def session_settings(
    model: ModelFile, device: Device, *, threads: int, streams: int
) -> onnxruntime.SessionOptions:
    """What a session of the model is made with. streams: as usable_streams gives them."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _ERRORS_ONLY
    # Said explicitly: where it is not, ONNX Runtime pins its threads, which containers may forbid.
    # All runs of a session share its helpers, each run brings a thread of its own: in all, `threads`.
    settings.intra_op_num_threads = max(1, threads - streams + 1)
    settings.inter_op_num_threads = 1
    # One block for all that a run needs is planned beside what the arena already holds: 0.26 GB more at the
    # peak on the full network, and no faster.
    settings.enable_mem_pattern = False
    if device.provider.name != CPU_PROVIDER:
        # Else nodes that the accelerator cannot run would move to the processor without a word.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if quantized_bits(model.manifest.precision) == 16:
        # Its rewriting of quantized graphs is made for 8 bits: at 16, ONNX Runtime 1.32 answers wrongly with it (mean
        # map difference 0.17), and exactly without.
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    return settings


def open_session(
    model: ModelFile,
    device: Device,
    settings: onnxruntime.SessionOptions,
    *,
    cache_folder: Path | None = None,
) -> OpenedSession:
    """The model's session. cache_folder: for what TensorRT compiles, None to keep nothing.

    Raises EngineError where the device's libraries are missing, it refuses the model, or another device took it.
    """
    check_libraries(device)
    if device.kind == "tensorrt":
        check_signed_integers(model, where=_where(model, device))
    options = provider_options(device, model)
    bits = quantized_bits(model.manifest.precision)
    with _compiled_folder(model, device, options, cache_folder) as folder:
        if folder is not None:
            options |= cache_options(folder)
        with _optimized_graph(settings, wanted=bits == 8 and device.kind == "cpu") as optimized:
            start = time.perf_counter()
            session = _new_session(model, device, settings, options)
            engine_ms = (time.perf_counter() - start) * 1000
            counts = Counter[str]() if optimized is None else _convolution_counts(optimized)
    session.disable_fallback()
    if session.get_providers()[0] != device.provider.name:
        raise EngineError(
            where=f"engine {NAME!r}, device {device.name!r}",
            expected=device.provider.name,
            found=f"ONNX Runtime took {session.get_providers()[0]} instead",
            fix="install the device's driver and libraries, or choose --device cpu",
        )
    return OpenedSession(session, counts, engine_ms)


def usable_streams(device: Device, *, threads: int, asked: int) -> int:
    """How many of the streams asked for can run side by side."""
    return min(asked, threads) if device.kind == "cpu" else asked


def _new_session(
    model: ModelFile, device: Device, settings: onnxruntime.SessionOptions, options: dict[str, str]
) -> onnxruntime.InferenceSession:
    import onnxruntime

    providers = [(device.provider.name, options)]
    try:
        # With its own fallback, a provider that fails ends in an error about the processor, and the reason on stdout.
        return onnxruntime.InferenceSession(str(model.path), settings, providers=providers, enable_fallback=0)
    except Exception as error:
        raise _refusal(model, device, options, str(error).strip()) from error


def _refusal(model: ModelFile, device: Device, options: dict[str, str], reason: str) -> EngineError:
    if _NO_MEMORY.search(reason):
        return EngineError(
            where=_where(model, device),
            expected=f"memory for {model.manifest.inputs[0]}",
            found="not enough of it on the device",
            fix="choose a smaller batch or input size, fewer streams, or a GPU that others use less",
        )
    if _ON_PROCESSOR.search(reason):
        names = _operators_on_processor(model, device, options)
        return EngineError(
            where=_where(model, device),
            expected=f"a graph that {device.provider.name} runs as a whole",
            found=f"operators that it leaves to the processor{': ' if names else ''}{', '.join(names)}",
            fix="build the model in another precision, or choose another device or engine",
        )
    failure = _CUDA_FAILURE.search(reason)
    if failure:
        return EngineError(
            where=_where(model, device),
            expected=f"a GPU that {device.provider.name} runs on",
            found=failure.group().strip(),
            fix="look at the GPU and its driver with `nvidia-smi`, or choose another device",
        )
    return EngineError(
        where=_where(model, device),
        expected="a graph that ONNX Runtime loads",
        found=reason[:300],
        fix="build the model again, or try another engine or device",
    )


def _where(model: ModelFile, device: Device) -> str:
    return f"engine {NAME!r} on {device.name}, model {model.path}"


def _operators_on_processor(model: ModelFile, device: Device, options: dict[str, str]) -> list[str]:
    """The kinds of operators that a session with the processor's help would leave to it; none where ONNX Runtime does
    not tell (before 1.24), and of TensorRT, which would compile for minutes."""
    import onnxruntime

    if device.kind == "tensorrt":
        return []
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = onnxruntime.InferenceSession(
            str(model.path), settings, providers=[(device.provider.name, options)], enable_fallback=0
        )
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # the error to tell is the one before
        return []
    return sorted(
        {node.op_type for part in parts if part.ep_name == CPU_PROVIDER for node in part.get_nodes()}
    )


def _compiled_folder(
    model: ModelFile, device: Device, options: dict[str, str], cache: Path | None
) -> AbstractContextManager[Path | None]:
    """Where TensorRT's engines of this model lie. One folder a model: its own names of them do not tell models of one
    structure apart (issue 32254)."""
    import onnxruntime

    if cache is None or device.kind != "tensorrt":
        return nullcontext()
    facts = [model.content_sha256, onnxruntime.__version__, device.kind, sorted(options.items())]
    return compiled_model_folder(cache / NAME, hashlib.sha256(repr(facts).encode()).hexdigest()[:32])


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
