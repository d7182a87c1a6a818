"""A float ONNX graph → a MagicMind offline model: the SDK's Parser, Network, BuilderConfig, Calibrator and Builder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from u2forge.atomic_file import atomic_path
from u2forge.engine.fits_manifest import check_fits_manifest
from u2forge.engine.magicmind_calibration import CalibrationInput, calibrate
from u2forge.engine.magicmind_config import network_shape
from u2forge.engine.magicmind_runtime import (
    active_device,
    checked,
    find_device,
    magicmind_devices,
    present,
    sdk,
    sdk_error,
    sdk_tensors,
    system,
    under_our_names,
)
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import ModelFile
from u2forge.model_file.sidecar import Sidecar, write_sidecar
from u2forge.weights.digest import sha256_of

# A size that any picture's batch may have. Source: MagicMind's Dims.
_ANY = -1


@contextmanager
def built_magicmind_model(
    graph_file: Path,
    out: Path,
    *,
    manifest: Manifest,
    config: Mapping[str, Any],
    calibration: CalibrationInput | None = None,
    device: str = "auto",
) -> Iterator[Any]:
    """Yields the SDK's Model of that graph, for `write_magicmind_model` to write to `out`.

    config: see builder_config. device: what calibrates; without calibration none is needed.
    Raises EngineError with the SDK's own message, ModelError where what it made is not what the manifest says.
    """
    mm = sdk()
    network = _parsed(mm, graph_file)
    _set_tensors(mm, network, manifest)
    settings = mm.BuilderConfig()
    checked(
        settings.parse_from_string(json.dumps(config)),
        call=f"BuilderConfig.parse_from_string of {json.dumps(config)}",
        fix="build with fewer options, to see which of them this SDK does not take",
    )
    with nullcontext() if calibration is None else system():
        if calibration is not None:
            active = active_device(find_device(magicmind_devices(), device))
            calibrate(network, settings, calibration)
            del active  # not before: what its end does to the active device is not documented
        model = present(
            mm.Builder().build_model(manifest.name, network, settings),
            call="Builder.build_model",
            fix="build with --precision force_float32 or a smaller --batch-size",
        )
        _check_tensors(model, out, manifest)
        yield model


def write_magicmind_model(model: Any, out: Path, *, manifest: Manifest) -> None:
    """Writes the SDK's Model under the name `out`, whole or not at all, and its manifest beside it.

    Until the second is written, the first one is refused: digests do not agree. Raises EngineError, OutputError.
    """
    with atomic_path(out) as temporary:
        fix = "choose another folder, with space left"
        checked(model.serialize_to_file(str(temporary)), call="Model.serialize_to_file", fix=fix)
        if not temporary.is_file():
            raise sdk_error(
                "Model.serialize_to_file", expected=f"the file {temporary.name}", found="none", fix=fix
            )
        sidecar = Sidecar(manifest, temporary.stat().st_size, sha256_of(temporary))
    write_sidecar(out, sidecar)


def _parsed(mm: Any, graph_file: Path) -> Any:
    network = mm.Network()
    parser = sdk("runtime.parser").Parser(mm.ModelKind.kOnnx)
    checked(
        parser.parse(network, str(graph_file)),
        call="Parser.parse",
        fix="report it with the SDK's version: the graph has ONNX operators of set 18 only",
    )
    return network


def _set_tensors(mm: Any, network: Any, manifest: Manifest) -> None:
    """Sizes of the input, and the types that the manifest says of all inputs and outputs."""
    kinds = {"float32": mm.DataType.FLOAT32, "uint8": mm.DataType.UINT8}
    fix = "report it with the SDK's version"
    for count, specs, get in (
        (network.get_input_count(), manifest.inputs, network.get_input),
        (network.get_output_count(), manifest.outputs, network.get_output),
    ):
        if count != len(specs):
            expected = f"{len(specs)}: {', '.join(spec.name for spec in specs)}"
            raise sdk_error("Network, inputs or outputs", expected=expected, found=str(count), fix=fix)
        for index, spec in enumerate(specs):
            checked(
                get(index).set_data_type(kinds[spec.dtype]), call=f"set_data_type of {spec.name!r}", fix=fix
            )
    picture = manifest.inputs[0]
    shape = network_shape(picture, batch_size=picture.batch_size or _ANY)
    checked(
        network.get_input(0).set_dimension(mm.Dims(shape)), call=f"set_dimension of {picture.name!r}", fix=fix
    )


def _check_tensors(model: Any, out: Path, manifest: Manifest) -> None:
    inputs, outputs = sdk_tensors(model)
    check_fits_manifest(
        ModelFile(out, manifest, content_sha256=""),
        inputs=under_our_names(inputs, [spec.name for spec in manifest.inputs]),
        outputs=under_our_names(outputs, [spec.name for spec in manifest.outputs]),
    )
