"""What the user calls a model (a file, or a card's name) → the path of an offline model that is there."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path

from u2forge import __version__
from u2forge.cache_dir import cache_dir
from u2forge.cache_lock import cache_lock
from u2forge.errors import InputError, ModelError
from u2forge.model_file.read import read_manifest
from u2forge.precision import FLOAT_MODES, PrecisionMode
from u2forge.weights.cards import CARDS
from u2forge.weights.fetch import fetch_weights

_logger = logging.getLogger(__name__)


def model_path(
    model: str | Path,
    *,
    precision: PrecisionMode | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Path:
    """The model file itself, or the one built once for that card, precision and batch, in the user's cache.

    Raises InputError where `model` is neither, or where a file was built for another precision or batch.
    """
    if str(model) in CARDS:
        _check_float(str(model), precision)
        return _built_once(str(model), precision or "force_float32", batch_size or 1, progress)
    path = Path(model).expanduser()
    if not path.exists():
        near = difflib.get_close_matches(str(model), CARDS, n=1)
        raise InputError(
            where=f"model {str(model)!r}",
            expected=f"a model file that `u2forge build` wrote, or one of the names {', '.join(CARDS)}",
            found="no such file",
            fix=f"did you mean {near[0]!r}?" if near else "check the path, or build the model first",
        )
    _check_choice(path, precision, batch_size)
    return path


def built_again(name: str, *, precision: PrecisionMode | None = None, batch_size: int | None = None) -> Path:
    """The card's model, built anew over the cached one, whose content turned out to be damaged."""
    path = _cached_path(name, precision or "force_float32", batch_size or 1)
    path.unlink(missing_ok=True)
    return model_path(name, precision=precision, batch_size=batch_size)


def _cached_path(name: str, precision: PrecisionMode, batch_size: int) -> Path:
    return cache_dir() / "models" / f"{name}-{precision}-b{batch_size}-{__version__}.onnx"


def _built_once(name: str, precision: PrecisionMode, batch_size: int, progress: bool) -> Path:
    path = _cached_path(name, precision, batch_size)
    if _is_readable(path):
        return path
    weights = fetch_weights(name, progress=progress)
    with cache_lock(path.with_suffix(".lock"), purpose=f"building {name}"):
        if not _is_readable(path):
            if path.exists():
                _logger.warning("the cached model %s cannot be read, and is built again", path)
            # Imported here: only the first use of a name needs the graph libraries.
            from u2forge.verbs.build import build

            build(weights, out=path, precision=precision, batch_size=batch_size, name=name)
    return path


def _check_float(name: str, precision: PrecisionMode | None) -> None:
    """A quantized model needs pictures to calibrate with, which a name alone does not bring."""
    if precision is not None and precision not in FLOAT_MODES:
        raise InputError(
            where=f"model {name!r}, --precision {precision}",
            expected=f"{' or '.join(FLOAT_MODES)} with a name, or a quantized model file",
            found="no pictures to calibrate with",
            fix=f"run `u2forge build {name} -o model.onnx --precision {precision} --calibration FOLDER`, "
            "then --model model.onnx",
        )


def _is_readable(path: Path) -> bool:
    """Whether a cached model is there and this u2forge reads its manifest."""
    try:
        read_manifest(path)
    except ModelError:
        return False
    return True


def _check_choice(path: Path, precision: PrecisionMode | None, batch_size: int | None) -> None:
    manifest = read_manifest(path)
    if precision is not None and precision != manifest.precision:
        raise InputError(
            where=f"model {path}, --precision",
            expected=f"{manifest.precision}, which the file was built for",
            found=precision,
            fix=f"leave --precision out, or build another model with --precision {precision}",
        )
    own = manifest.inputs[0].batch_size
    if batch_size is not None and own is not None and batch_size != own:
        raise InputError(
            where=f"model {path}, --batch-size",
            expected=f"{own}, which the file was built for",
            found=str(batch_size),
            fix=f"leave --batch-size out, or build another model with --batch-size {batch_size} (or dynamic)",
        )
