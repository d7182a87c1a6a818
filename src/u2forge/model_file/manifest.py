"""The manifest: what an offline model is, where it came from and how its pictures are processed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.origin import Origin as Origin
from u2forge.precision import PrecisionMode
from u2forge.profiles import PostProfile, PreProfile
from u2forge.target import Target
from u2forge.tensor_spec import TensorSpec

SCHEMA_VERSION = 2

Interface = Literal["pictures", "tensors"]
INTERFACES: tuple[Interface, ...] = get_args(Interface)


@dataclass(frozen=True)
class ShapeRange:
    """How small and how large an input's open axes may be, as the model was built for."""

    name: str
    smallest: tuple[int, ...]
    largest: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """All that is needed to run a model file, saved inside it (beside it where it is no ONNX file).

    interface: pictures, where the model is a U²-Net that takes pictures by its profile and gives maps; tensors, where
    only the program that it was built for knows what goes in and out (another network, or a U²-Net with inputs or
    outputs of its own): it has no profiles, and shape_ranges may limit its open axes.
    embedded_preprocessing: the graph itself divides by the maximum and normalises; its input is 8-bit NHWC RGB.
    outputs: of pictures d0 (fused map) first; probabilities in [0, 1], float32, (N, 1, H, W).
    tools: package name to the version that made the file. quantization: None in the float modes.
    target: what the file is for; a portable one is the ONNX file that every engine here runs.
    """

    name: str
    architecture: str
    precision: PrecisionMode
    origin: Origin
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    pre: PreProfile | None
    post: PostProfile | None
    embedded_preprocessing: bool
    tools: dict[str, str]
    quantization: QuantizationRecord | None = None
    target: Target = "portable"
    interface: Interface = "pictures"
    shape_ranges: tuple[ShapeRange, ...] = ()
    schema_version: int = SCHEMA_VERSION
