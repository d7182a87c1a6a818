"""build --target mlu370: a float graph → MagicMind's offline model by Cambricon's SDK, from the options of `build`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from u2forge.engine.magicmind_build import built_magicmind_model, write_magicmind_model
from u2forge.engine.magicmind_calibration import ALGORITHMS, CalibrationInput
from u2forge.engine.magicmind_config import LARGEST_DYNAMIC_BATCH, builder_config
from u2forge.engine.magicmind_runtime import NAME, sdk_version
from u2forge.engine.registry import check_engine
from u2forge.errors import InputError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.pipeline.inputs import InputPicture
from u2forge.pipeline.preprocess import preprocess
from u2forge.precision import PrecisionMode, quantized_bits
from u2forge.profiles import PreProfile
from u2forge.quantize.options import QuantizeOptions
from u2forge.target import UNVERIFIED, Target
from u2forge.tensor_spec import TensorSpec
from u2forge.verbs.calibration_data import (
    CalibrationData,
    calibration_record,
    random_pictures,
    readable_pictures,
)

if TYPE_CHECKING:
    import onnx_ir

_logger = logging.getLogger(__name__)
# What our own quantizer does where it is not told otherwise, and the SDK's does not.
_OURS = QuantizeOptions()


class _Refused(NamedTuple):
    """An option that the SDK cannot take: what is accepted of it, and the reason."""

    accepted: str
    reason: str


_REFUSED = {
    "threads": _Refused("none", "the SDK calibrates on the card"),
    "check": _Refused("none", "the accuracy gate does not run models of this target"),
    "max_loss": _Refused("none (no accuracy gate)", "the gate does not run models of this target"),
    "report": _Refused("none", "layers are ranked by running portable models"),
    "on_layers": _Refused("none", "layers are ranked by running portable models"),
}


@dataclass(frozen=True)
class MagicmindRequest:
    """All that was asked for, checked. options and data: None in the float modes; device: what calibrates."""

    target: Target
    precision: PrecisionMode
    pre: PreProfile
    options: QuantizeOptions | None
    data: CalibrationData | None
    device: str
    progress: bool


def magicmind_request(
    request: MagicmindRequest, *, engine: str, embed_preprocessing: bool, others: Mapping[str, object]
) -> MagicmindRequest:
    """The request, once nothing in it is beyond the SDK. others: options by name that it cannot take, None or empty
    where they were not given.

    Raises InputError, naming the option and the reason, MissingDependencyError without the SDK, EngineError where it
    lacks the device.
    """
    for name, value in others.items():
        if value not in (None, (), []):
            raise _refusal(request, name, _REFUSED[name].accepted, f"{value!r}: {_REFUSED[name].reason}")
    if engine not in ("auto", NAME):
        raise _refusal(request, "engine", f"auto or {NAME}", f"{engine}, which has no part in it")
    if request.options is not None and request.data is not None:
        _check_quantization(request, request.options, request.data, embed_preprocessing)
    check_engine(NAME, device=request.device)
    return request


def build_with_sdk(
    request: MagicmindRequest, graph: onnx_ir.Model, manifest: Manifest, out: Path
) -> Manifest:
    """The manifest of the model that now lies in `out`, and beside it. graph: float32, its input normalised.

    Raises EngineError with what the SDK says, ModelError, InputError, OutputError.
    """
    import onnx_ir

    _warn(request, manifest)
    tools = {**manifest.tools, "magicmind": sdk_version()}
    manifest = replace(manifest, target=request.target, tools=tools)
    pictures = None if request.data is None else _Pictures(request.data, request.pre, manifest.inputs[0])
    with tempfile.TemporaryDirectory(prefix="u2forge-magicmind-") as folder:
        graph_file = Path(folder) / "graph.onnx"
        onnx_ir.save(graph, graph_file)
        with built_magicmind_model(
            graph_file,
            out,
            manifest=manifest,
            config=builder_config(manifest, request.options),
            calibration=None if pictures is None else _calibration_input(request, pictures, manifest),
            device=request.device,
        ) as model:
            if pictures is not None:
                for failure in pictures.failures:
                    _logger.warning("left out of the calibration: %s", failure)
                manifest = replace(manifest, quantization=_record(request, pictures))
            write_magicmind_model(model, out, manifest=manifest)
    return manifest


def _check_quantization(
    request: MagicmindRequest, options: QuantizeOptions, data: CalibrationData, embed_preprocessing: bool
) -> None:
    if options.algorithm not in ALGORITHMS:
        found = f"{options.algorithm}, which the SDK does not have"
        raise _refusal(request, "algorithm", " or ".join(ALGORITHMS), found)
    if options.equalize not in (0, _OURS.equalize):
        found = f"{options.equalize:g}: the SDK does not equalize channels"
        raise _refusal(request, "equalize", "0", found)
    if data.ranges:
        found = "a file of ranges: in which form the SDK takes custom_ranges is not documented"
        raise _refusal(request, "calibration", "pictures or random", found)
    if embed_preprocessing:
        found = "it: in which form the SDK then takes calibration pictures is not documented"
        raise _refusal(
            request, "embed_preprocessing", "no --embed-preprocessing in a quantized precision", found
        )


def _refusal(request: MagicmindRequest, option: str, expected: str, found: str) -> InputError:
    fixes = {
        "max_loss": "add --max-loss none, and measure with `u2forge eval --engine magicmind` on the card"
    }
    return InputError(
        where=f"build, option {option!r} with target {request.target}",
        expected=expected,
        found=found,
        fix=fixes.get(option, "change or leave out that option, or build without --target"),
    )


def _warn(request: MagicmindRequest, manifest: Manifest) -> None:
    """Says what is unlike the same build for our engines."""
    _logger.warning("target %s, by Cambricon's MagicMind SDK: %s", request.target, UNVERIFIED)
    if manifest.embedded_preprocessing:
        _logger.warning(
            "inside the model, pictures are divided by 255, and not each by its own maximum: "
            "maps differ where a picture has no white"
        )
    if manifest.inputs[0].batch_size is None:
        _logger.warning("a dynamic batch is of 1 to %d pictures for this target", LARGEST_DYNAMIC_BATCH)
    if request.options is None:
        return
    ours = {
        "equalization of channels": request.options.equalize != 0,
        "bias correction": request.options.bias_correction,
        "weights of 7 bits": request.options.bits == 8 and request.options.weight_bits == 7,
    }
    left_out = [name for name, on in ours.items() if on]
    if left_out:
        _logger.warning("the SDK quantizes by itself, without %s", ", ".join(left_out))


def _calibration_input(
    request: MagicmindRequest, pictures: _Pictures, manifest: Manifest
) -> CalibrationInput:
    assert request.options is not None
    picture = manifest.inputs[0]
    assert picture.height is not None
    assert picture.width is not None
    return CalibrationInput(
        pictures=lambda: pictures.prepared(progress=request.progress),
        batch_size=picture.batch_size or 1,
        height=picture.height,
        width=picture.width,
        algorithm=request.options.algorithm,
    )


def _record(request: MagicmindRequest, pictures: _Pictures) -> QuantizationRecord:
    """What is known of the SDK's quantization; which layers it leaves in float is not."""
    options = request.options
    assert options is not None
    bits = quantized_bits(request.precision) or 8
    return QuantizationRecord(
        bits=bits,
        weight_bits=bits,
        algorithm=options.algorithm,
        weight_granularity=options.weight_granularity,
        activations=options.activations,
        equalize=0.0,
        bias_correction=False,
        calibration=calibration_record(pictures.data, list(pictures.read.values())),
        float_layers=(),
        accuracy=None,
    )


@dataclass
class _Pictures:
    """Calibration pictures, prepared as `infer` does, as often as the SDK asks. read, failures: what came of them."""

    given: CalibrationData
    pre: PreProfile
    picture: TensorSpec
    read: dict[Path, InputPicture] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def data(self) -> CalibrationData:
        """All pictures to calibrate with: where there is no gate, none are held back for it."""
        pictures = (*self.given.pictures, *self.given.check)
        return replace(
            self.given, pictures=pictures, check=(), count=self.given.count + len(self.given.check)
        )

    def prepared(self, *, progress: bool) -> Iterator[NDArray[np.float32]]:
        """(3, height, width) float32 each, from the first picture on."""
        data = self.data
        self.failures.clear()
        with tqdm(total=data.count, unit="picture", desc="calibrating", disable=not progress) as bar:
            if data.random is not None:
                for picture in random_pictures(data):
                    yield self._prepare(picture.rgb)
                    bar.update()
            for item, picture in readable_pictures(data.pictures, self.failures):
                self.read[item.path] = item
                yield self._prepare(picture.rgb)
                bar.update()

    def _prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = self.picture.height, self.picture.width
        assert height is not None
        assert width is not None
        return preprocess(rgb, height=height, width=width, profile=self.pre)
