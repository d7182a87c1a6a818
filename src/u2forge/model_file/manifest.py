"""The manifest: what an offline model is, where it came from and how its pictures are processed."""

from __future__ import annotations

from dataclasses import dataclass

from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.origin import Origin as Origin
from u2forge.precision import PrecisionMode
from u2forge.profiles import PostProfile, PreProfile
from u2forge.tensor_spec import TensorSpec

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Manifest:
    """All that is needed to run a model file, saved inside it.

    embedded_preprocessing: the graph itself divides by the maximum and normalises; its input is 8-bit NHWC RGB.
    outputs: d0 (fused map) first; probabilities in [0, 1], float32, (N, 1, H, W).
    tools: package name to the version that made the file. quantization: None in the float modes.
    """

    name: str
    architecture: str
    precision: PrecisionMode
    origin: Origin
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    pre: PreProfile
    post: PostProfile
    embedded_preprocessing: bool
    tools: dict[str, str]
    quantization: QuantizationRecord | None = None
    schema_version: int = SCHEMA_VERSION
