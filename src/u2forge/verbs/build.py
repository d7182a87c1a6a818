"""build: a card's name, a checkpoint or a float graph → an offline model file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from u2forge import __version__
from u2forge.errors import InputError
from u2forge.input_limits import LARGEST_BATCH, LARGEST_SIDE, SMALLEST_SIDE
from u2forge.leftovers import remove_leftovers
from u2forge.model_file.manifest import Manifest
from u2forge.output_choice import OUTPUT_CHOICES, OutputChoice
from u2forge.precision import PRECISION_MODES, PrecisionMode
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile
from u2forge.tensor_spec import TensorSpec
from u2forge.verbs.checkpoint_path import card_name, checkpoint_path

if TYPE_CHECKING:
    import onnx_ir


def build(
    net: str | Path,
    *,
    out: str | Path,
    precision: PrecisionMode = "force_float32",
    batch_size: int | Literal["dynamic"] = 1,
    input_height: int = 320,
    input_width: int = 320,
    outputs: OutputChoice = "d0",
    embed_preprocessing: bool = False,
    pre: PreProfile = "official",
    post: PostProfile = "stretch",
    name: str | None = None,
    progress: bool = False,
) -> Manifest:
    """The manifest of the model that now lies in `out`: one ONNX file, written whole, the same bytes each time.

    input_height, input_width: what the network sees, 32 to 1024 pixels; every picture is resized to it.
    embed_preprocessing: the model takes 8-bit NHWC RGB and normalises it itself. pre, post: the profiles that `infer`
    takes where it is not told others. name: None for the card's or file's own.
    Raises InputError, ModelError, FetchError, MissingDependencyError, OutputError.
    """
    _check_choices(
        {
            "precision": (precision, PRECISION_MODES),
            "outputs": (outputs, OUTPUT_CHOICES),
            "pre": (pre, PRE_PROFILES),
            "post": (post, POST_PROFILES),
        }
    )
    _check_sizes(batch_size, {"input_height": input_height, "input_width": input_width})
    from u2forge.graph.load import export_graph, load_network
    from u2forge.model_file.write import write_model
    from u2forge.passes.recipes import offline_graph

    network = load_network(checkpoint_path(net, progress=progress), name=name or card_name(net))
    graph = offline_graph(
        export_graph(network),
        outputs=outputs,
        batch_size=None if batch_size == "dynamic" else batch_size,
        height=input_height,
        width=input_width,
        precision=precision,
        embed_preprocessing=embed_preprocessing,
    )
    manifest = Manifest(
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
    )
    target = Path(out).expanduser()
    remove_leftovers([target.parent])
    write_model(graph, manifest, target)
    return manifest


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
