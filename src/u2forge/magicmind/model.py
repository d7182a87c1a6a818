"""Model: what a Builder made or a file holds."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from pathlib import Path

from u2forge.atomic_file import atomic_path
from u2forge.cache_dir import cache_dir
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import open_engine
from u2forge.errors import InputError, ModelError
from u2forge.magicmind.data_types import DataType, data_type_of
from u2forge.magicmind.devices import active_device
from u2forge.magicmind.dims import Dims, dims_of
from u2forge.magicmind.engine import Engine
from u2forge.magicmind.status import PreconditionError, Status, check_there, logger, or_none, status_of
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import open_model_file
from u2forge.model_file.sidecar import remove_sidecar
from u2forge.precision import quantized_bits
from u2forge.verbs.build_tensors import TensorModel

_DEVICE_TYPE = "MLU"


class Model:
    """Empty, until it is built or deserialized. Its file is our offline model, one ONNX file, whatever its name."""

    class EngineConfig:
        """device_type: "MLU", which stands for the active device of this machine."""

        device_type = _DEVICE_TYPE

    def __init__(self) -> None:
        self._path: Path | None = None
        self._manifest: Manifest | None = None

    @staticmethod
    def of(built: TensorModel) -> Model:
        """A built model, in a temporary file of its own. Raises ModelError, OutputError."""
        from u2forge.model_file.write import write_model

        model = Model()
        folder = Path(tempfile.mkdtemp(prefix="u2forge-magicmind-"))
        weakref.finalize(model, remove_own, folder, os.getpid())
        model._path = folder / "model.onnx"
        write_model(built.graph, built.manifest, model._path)
        model._manifest = built.manifest
        return model

    def serialize_to_file(self, path: str | Path) -> Status:
        """Writes the model, whole or not at all."""
        return status_of(lambda: self._serialize(Path(path).expanduser()))

    def deserialize_from_file(self, path: str | Path) -> Status:
        """Makes this the model in the file, its digest checked; it stays what it was where that fails."""
        return status_of(lambda: self._deserialize(Path(path).expanduser()))

    def get_input_num(self) -> int:
        """How many inputs there are."""
        return len(self.manifest.inputs)

    def get_output_num(self) -> int:
        """How many outputs there are."""
        return len(self.manifest.outputs)

    def get_input_names(self) -> list[str]:
        """Their names."""
        return [spec.name for spec in self.manifest.inputs]

    def get_output_names(self) -> list[str]:
        """Their names."""
        return [spec.name for spec in self.manifest.outputs]

    def get_input_dimensions(self) -> list[Dims]:
        """Their sizes, -1 for an open axis."""
        return [dims_of(spec.shape) for spec in self.manifest.inputs]

    def get_output_dimensions(self) -> list[Dims]:
        """Their sizes, -1 for an open axis."""
        return [dims_of(spec.shape) for spec in self.manifest.outputs]

    def get_input_data_types(self) -> list[DataType]:
        """Their element types."""
        return [data_type_of(spec.dtype) for spec in self.manifest.inputs]

    def get_output_data_types(self) -> list[DataType]:
        """Their element types."""
        return [data_type_of(spec.dtype) for spec in self.manifest.outputs]

    def create_i_engine(self, config: EngineConfig | None = None) -> Engine | None:
        """The model, compiled for the active device; None, with the reason in the log, where that fails."""
        return or_none(lambda: self._open(config or Model.EngineConfig()))

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself. Raises PreconditionError where the model is empty."""
        if self._manifest is None:
            raise PreconditionError(
                where="Model",
                expected="one that was built or deserialized",
                found="an empty one",
                fix="call deserialize_from_file(path), and look at the Status that it returns",
            )
        return self._manifest

    def _open(self, config: EngineConfig) -> Engine:
        manifest = self.manifest
        assert self._path is not None
        if config.device_type != _DEVICE_TYPE:
            raise InputError(
                where="Model.create_i_engine, device_type",
                expected=f"{_DEVICE_TYPE!r}, which stands for this machine's device",
                found=repr(config.device_type),
                fix="leave it out, and choose the device with Device.id",
            )
        device = active_device()
        if device is None:
            raise PreconditionError(
                where="Model.create_i_engine",
                expected="an active device",
                found="none",
                fix="write device = mm.Device(); device.id = 0; device.active() before",
            )
        options = EngineOptions(
            device=device.device, threads=device.threads, cache_folder=cache_dir() / "compiled"
        )
        opened = open_engine(self._path, engine=device.engine, options=options)
        info = opened.info
        bits = quantized_bits(manifest.precision)
        # Not every engine keeps the rounding of every integer width.
        in_integers = bits is None or info.precision_executed == f"int{bits}"
        logger.log(
            logging.INFO if in_integers else logging.WARNING,
            "%s runs on %s %s (%s), in %s",
            *(manifest.precision, info.engine, info.version, info.device_name, info.precision_executed),
        )
        return Engine(opened, manifest, device)

    def _serialize(self, path: Path) -> None:
        _ = self.manifest
        assert self._path is not None
        if path.resolve() != self._path.resolve():
            with atomic_path(path) as temporary:
                shutil.copyfile(self._path, temporary)
            # Of a model of another target that had this name.
            remove_sidecar(path)

    def _deserialize(self, path: Path) -> None:
        where = f"deserialize_from_file of {path}"
        check_there(path, where=where, expected="a file that serialize_to_file wrote")
        try:
            manifest = open_model_file(path).manifest
        except ModelError as error:
            raise _no_file_of_ours(path, f"{error.found} ({error.where})") from error
        if manifest.target != "portable":
            raise _no_file_of_ours(path, f"a model for the target {manifest.target}")
        self._manifest, self._path = manifest, path.absolute()


def remove_own(folder: Path, process: int) -> None:
    """Removes it, but not at the end of a forked child, whose parent still needs it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _no_file_of_ours(path: Path, found: str) -> ModelError:
    return ModelError(
        where=f"deserialize_from_file of {path}",
        expected="a file that serialize_to_file, `u2forge build` or a gen_model program here wrote",
        found=found,
        fix="run the program that builds it here: files made for a card hold code of that card",
    )
