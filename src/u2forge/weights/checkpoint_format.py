"""The first bytes of a file → which kind of checkpoint it is, whatever its name says."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Literal

from u2forge.errors import InputError, ModelError

CheckpointFormat = Literal["pth", "pt", "safetensors"]

# Beyond what a U²-Net of any width needs; a header that claims more is not one.
_SAFETENSORS_HEADER_BYTES = 100_000_000
# Weights hardly compress; the code in a TorchScript file does, so small files get a fixed allowance. An
# archive that unpacks to more is an attack on memory.
_MAX_EXPANSION = 4
_EXPANSION_ALLOWANCE_BYTES = 64 << 20


def checkpoint_format(path: Path) -> CheckpointFormat | None:
    """pth: PyTorch state dict, pt: TorchScript, safetensors; None where the bytes are none of these.

    Raises InputError where there is no such file; ModelError where it is empty, or a zip archive that is
    damaged or unpacks to far more than its size.
    """
    start = _first_bytes(path)
    if not start:
        raise _unreadable(path, "an empty file")
    if start[:4] == b"PK\x03\x04":
        return _archive_format(path)
    # A pickle of protocol 2 or later: how PyTorch wrote state dicts before 1.6, the official ones among them.
    if start[0] == 0x80:
        return "pth"
    if start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= _SAFETENSORS_HEADER_BYTES:
        return "safetensors"
    return None


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(9)
    except OSError as error:
        raise InputError(
            where=f"checkpoint {path}",
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix="check the path",
        ) from error


def _archive_format(path: Path) -> CheckpointFormat | None:
    """Both of PyTorch's archives hold data.pkl; only TorchScript's holds constants.pkl."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError) as error:
        raise _unreadable(path, f"a zip archive that is cut short or damaged ({error})") from error
    unpacked_bytes = sum(entry.file_size for entry in entries)
    most_bytes = _MAX_EXPANSION * path.stat().st_size + _EXPANSION_ALLOWANCE_BYTES
    if unpacked_bytes > most_bytes:
        raise ModelError(
            where=f"checkpoint {path}",
            expected=f"an archive of this size that unpacks to at most {most_bytes} bytes",
            found=f"{path.stat().st_size} bytes that unpack to {unpacked_bytes}",
            fix="use a checkpoint from a source that you trust",
        )
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "data.pkl" not in names:
        return None
    return "pt" if "constants.pkl" in names else "pth"


def _unreadable(path: Path, found: str) -> ModelError:
    return ModelError(
        where=f"checkpoint {path}",
        expected="a whole .pth, .pt or .safetensors file",
        found=found,
        fix="copy or download the file again",
    )
