"""build: a card's name, a checkpoint or a float graph → an offline model file, in float or quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from u2forge import __version__
from u2forge.atomic_file import write_atomic
from u2forge.engine.registry import ENGINES, check_engine
from u2forge.errors import InputError
from u2forge.evaluate.accuracy_gate import DEFAULT_MAX_LOSS, DEFAULT_MIN_IOU, AccuracyGate
from u2forge.input_limits import LARGEST_BATCH, LARGEST_SIDE, SMALLEST_SIDE
from u2forge.leftovers import remove_leftovers
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.output_choice import OUTPUT_CHOICES, OutputChoice
from u2forge.precision import FLOAT_MODES, PRECISION_MODES, FloatMode, PrecisionMode, quantized_bits
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile
from u2forge.quantize.options import (
    DEFAULT_WEIGHT_BITS,
    ActivationScheme,
    QuantizeOptions,
    RangeAlgorithm,
    WeightGranularity,
)
from u2forge.report.layer_page import layer_page
from u2forge.report.layer_table import QuantizationReport
from u2forge.target import TARGETS, Target
from u2forge.tensor_spec import TensorSpec
from u2forge.verbs.build_magicmind import MagicmindRequest, build_with_sdk, magicmind_request
from u2forge.verbs.calibration_data import Sources, calibration_data
from u2forge.verbs.checkpoint_path import card_name, checkpoint_path
from u2forge.verbs.quantize_network import QuantizedNetwork, QuantizeRequest, quantize_network
from u2forge.verbs.trial_model import TrialEngine

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.graph.load import Network


def build(
    net: str | Path,
    *,
    out: str | Path,
    target: Target = "portable",
    precision: PrecisionMode = "force_float32",
    batch_size: int | Literal["dynamic"] = 1,
    input_height: int = 320,
    input_width: int = 320,
    outputs: OutputChoice = "d0",
    embed_preprocessing: bool = False,
    pre: PreProfile = "official",
    post: PostProfile = "stretch",
    name: str | None = None,
    calibration: Sources = (),
    calibration_count: int = 96,
    check: Sources = (),
    algorithm: RangeAlgorithm = "eqnm",
    weight_granularity: WeightGranularity = "per_channel",
    weight_bits: int = DEFAULT_WEIGHT_BITS,
    activations: ActivationScheme = "asymmetric",
    equalize: float = 0.5,
    bias_correction: bool = True,
    max_loss: float | None = DEFAULT_MAX_LOSS,
    min_iou: float = DEFAULT_MIN_IOU,
    report: str | Path | None = None,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
    on_layers: Callable[[QuantizationReport], None] | None = None,
) -> Manifest:
    """The manifest of the model that now lies in `out`: one ONNX file, written whole, the same bytes each time.

    target: portable, for every engine here; mlu370 has Cambricon's MagicMind SDK, where it is installed, make its own
    offline model instead, with the manifest in a .u2forge.json file beside it, for the engine magicmind (not verified
    on hardware).
    input_height, input_width: what the network sees, 32 to 1024 pixels; every picture is resized to it.
    embed_preprocessing: the model takes 8-bit NHWC RGB and normalises it itself. pre, post: the profiles that `infer`
    takes where it is not told others. name: None for the card's or file's own.

    The rest is for the quantized precisions. calibration: folders, pictures, list files, "random" or a .json
    file of ranges; calibration_count: how many pictures of them to take. check: pictures for the accuracy gate
    (None: every third calibration picture is held back for it). algorithm, weight_granularity, weight_bits,
    activations, equalize, bias_correction: see QuantizeOptions. max_loss: the largest mean difference of the
    stretched maps to the float model's, None builds without any check; min_iou: the smallest IoU of a check
    picture's mask. Where the gate does not hold, as few layers as possible stay in float. report: an HTML page
    with every layer's cost; on_layers is told the same. engine, device, threads: what calibration and gate run
    on.
    Raises InputError, ModelError, FetchError, MissingDependencyError, OutputError, EngineError; AccuracyError
    where the gate cannot hold.
    """
    _check_choices(
        {
            "target": (target, TARGETS),
            "precision": (precision, PRECISION_MODES),
            "outputs": (outputs, OUTPUT_CHOICES),
            "pre": (pre, PRE_PROFILES),
            "post": (post, POST_PROFILES),
        }
    )
    _check_sizes(batch_size, {"input_height": input_height, "input_width": input_width})
    options = None
    if precision in FLOAT_MODES:
        _check_float_only(precision, {"calibration": calibration, "check": check, "report": report})
    else:
        options = QuantizeOptions(
            bits=quantized_bits(precision) or 8,
            weight_bits=weight_bits,
            algorithm=algorithm,
            weight_granularity=weight_granularity,
            activations=activations,
            equalize=equalize,
            bias_correction=bias_correction,
        )
    request, for_sdk = None, None
    if target != "portable":
        data = None if options is None else calibration_data(calibration, check=(), count=calibration_count)
        for_sdk = magicmind_request(
            MagicmindRequest(target, precision, pre, options, data, device, progress),
            engine=engine,
            embed_preprocessing=embed_preprocessing,
            others={
                "threads": threads,
                "check": check,
                "max_loss": None if options is None else max_loss,
                "report": report,
                "on_layers": on_layers,
            },
        )
    elif options is not None:
        trial_engine = _trial_engine(engine, precision, checked=max_loss is not None)
        check_engine(trial_engine, device=device)
        request = QuantizeRequest(
            precision=precision,
            data=calibration_data(calibration, check=check, count=calibration_count),
            options=options,
            gate=None if max_loss is None else AccuracyGate(max_loss, min_iou),
            trial=TrialEngine(trial_engine, device, threads),
            report=report is not None or on_layers is not None,
            progress=progress,
        )
    from u2forge.graph.load import load_network
    from u2forge.model_file.write import write_model

    network = load_network(checkpoint_path(net, progress=progress), name=name or card_name(net))
    shape = _GraphShape(
        outputs,
        None if batch_size == "dynamic" else batch_size,
        input_height,
        input_width,
        embed_preprocessing,
    )

    def manifest_of(graph: onnx_ir.Model, quantization: QuantizationRecord | None = None) -> Manifest:
        return Manifest(
            name=network.name,
            architecture=network.architecture.name,
            precision=precision,
            origin=network.origin,
            inputs=_tensor_specs(graph.graph.inputs),
            outputs=_tensor_specs(graph.graph.outputs),
            pre=pre,
            post=post,
            embedded_preprocessing=embed_preprocessing,
            tools={"u2forge": __version__, "onnx": version("onnx"), "onnx-ir": version("onnx-ir")},
            quantization=quantization,
        )

    place = Path(out).expanduser()
    if for_sdk is not None:
        remove_leftovers([place.parent])
        graph = replace(shape, embed_preprocessing=False).graph(network, "force_float32")
        return build_with_sdk(for_sdk, graph, manifest_of(shape.graph(network, "force_float32")), place)
    if request is None:
        graph = shape.graph(network, "force_float16" if precision == "force_float16" else "force_float32")
        manifest = manifest_of(graph)
    else:
        quantized = _quantized(request, network, shape, manifest_of)
        graph, manifest = quantized.graph, manifest_of(quantized.graph, quantized.record)
        _write_report(quantized, manifest, report, on_layers)
    remove_leftovers([place.parent])
    write_model(graph, manifest, place)
    return manifest


@dataclass(frozen=True)
class _GraphShape:
    """What an offline graph looks like from outside."""

    outputs: OutputChoice
    batch_size: int | None
    height: int
    width: int
    embed_preprocessing: bool

    def graph(self, network: Network, precision: FloatMode) -> onnx_ir.Model:
        from u2forge.graph.load import export_graph
        from u2forge.passes.recipes import offline_graph

        return offline_graph(
            export_graph(network),
            outputs=self.outputs,
            batch_size=self.batch_size,
            height=self.height,
            width=self.width,
            precision=precision,
            embed_preprocessing=self.embed_preprocessing,
        )


def _quantized(
    request: QuantizeRequest,
    network: Network,
    shape: _GraphShape,
    manifest_of: Callable[[onnx_ir.Model], Manifest],
) -> QuantizedNetwork:
    return quantize_network(
        request,
        single=replace(shape, batch_size=1, outputs="d0").graph(network, "force_float32"),
        target=shape.graph(network, "force_float32"),
        manifest_of=manifest_of,
    )


def _write_report(
    found: QuantizedNetwork,
    manifest: Manifest,
    report: str | Path | None,
    on_layers: Callable[[QuantizationReport], None] | None,
) -> None:
    if found.report is None:
        return
    if report is not None:
        page = layer_page(f"u2forge build: {manifest.name}, {manifest.precision}", found.report, found.record)
        write_atomic(Path(report).expanduser(), page.encode(errors="replace"))
    if on_layers is not None:
        on_layers(found.report)


def _trial_engine(engine: str, precision: PrecisionMode, *, checked: bool) -> str:
    """What checks: of 16 bits, an engine that really computes in them; the one that will run the model, where it is
    there.

    OpenVINO (2026.4) takes 16-bit QuantizeLinear and DequantizeLinear out and computes in float32: any ranges at all
    would pass its gate.
    """
    if quantized_bits(precision) != 16 or engine in ("native", "onnxruntime"):
        return engine
    if engine == "auto":
        if not checked:
            return engine
        return "native" if ENGINES["native"].installed else "onnxruntime"
    if not checked:
        return engine
    raise InputError(
        where="build, option 'engine'",
        expected="native or onnxruntime, which round to 16 bits, for the accuracy gate",
        found=f"{engine}, which leaves the rounding out: the gate would check nothing",
        fix="leave --engine out (the model runs on every engine), or add --max-loss none",
    )


def _check_float_only(precision: str, options: Mapping[str, object]) -> None:
    for argument, value in options.items():
        if value:
            raise InputError(
                where=f"build, option {argument!r}",
                expected="a quantized precision (qint8_… or qint16_…) beside it",
                found=precision,
                fix="leave it out, or add --precision qint8_mixed_float32",
            )


def _tensor_specs(values: Iterable[onnx_ir.Value]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        assert value.shape is not None
        assert value.dtype is not None
        assert value.name is not None
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
        dtype = value.dtype.numpy().name
        specs.append(TensorSpec(value.name, sizes, dtype, "NHWC" if dtype == "uint8" else "NCHW"))
    return tuple(specs)


def _check_choices(choices: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    for argument, (value, valid) in choices.items():
        if value not in valid:
            raise _wrong(argument, f"one of {', '.join(valid)}", repr(value))


def _check_sizes(batch_size: int | Literal["dynamic"], sides: Mapping[str, int]) -> None:
    if batch_size != "dynamic" and not (isinstance(batch_size, int) and 1 <= batch_size <= LARGEST_BATCH):
        raise _wrong("batch_size", f"dynamic, or a number of 1 to {LARGEST_BATCH}", repr(batch_size))
    for argument, side in sides.items():
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise _wrong(argument, f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels", str(side))


def _wrong(argument: str, expected: str, found: str) -> InputError:
    return InputError(
        where=f"build, option {argument!r}", expected=expected, found=found, fix="choose one of these"
    )
