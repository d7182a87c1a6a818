"""Pictures to the files that their results go to: structure kept, no two alike, never outside, never an
input."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from u2forge.errors import InputError, OutputError
from u2forge.pipeline.inputs import InputPicture
from u2forge.pipeline.walk_folder import PICTURE_SUFFIXES

# Bytes in one name. Most file systems end at 255; the difference is room for the temporary name.
_MAX_NAME_BYTES = 240
_SAME_SUFFIX = {".jpeg": ".jpg", ".tif": ".tiff"}


def plan_outputs(inputs: Sequence[InputPicture], output: Path, *, suffix: str) -> list[Path]:
    """The file for each input's result, in order: NAME.suffix at the same place below `output`.

    Where that would be one file for several inputs (letter case aside), each of those gets a longer name:
    with its own suffix (a.jpg.png), below its folder's name, or with a digest of its path. The same inputs
    give the same names. One input, and `output` with a picture's suffix: that very file. Raises InputError
    where a result would replace an input, OutputError where `output` is no folder.
    """
    check_place(inputs, output, suffix=suffix)
    if is_single_file(inputs, output):
        planned = [output]
    else:
        planned = [output / name for name in _distinct_names(inputs, suffix)]
    _check_inputs_survive(inputs, planned)
    return planned


def check_place(inputs: Sequence[InputPicture], output: Path, *, suffix: str) -> None:
    """Raises what plan_outputs raises where `output` cannot take results, without looking at every input."""
    if is_single_file(inputs, output):
        _check_suffix(output, suffix)
    else:
        _check_folder(inputs, output)


def is_single_file(inputs: Sequence[InputPicture], output: Path) -> bool:
    """Whether `output` is the one result's own file, not a folder for results."""
    return len(inputs) == 1 and output.suffix.lower() in PICTURE_SUFFIXES and not output.is_dir()


def _distinct_names(inputs: Sequence[InputPicture], suffix: str) -> list[str]:
    """Names that differ from each other, and from every folder among them, by more than case and accents'
    form."""
    levels = [0] * len(inputs)
    names = [_name(item, 0, suffix) for item in inputs]
    while True:
        keys = [_folded(name) for name in names]
        count = Counter(keys)
        folders = {key[:end] for key in keys for end, letter in enumerate(key) if letter == "/"}
        taken = [index for index, key in enumerate(keys) if count[key] > 1 or key in folders]
        if not taken:
            return names
        for index in taken:
            levels[index] += 1
            names[index] = _name(inputs[index], levels[index], suffix)


def _name(item: InputPicture, level: int, suffix: str) -> str:
    """The relative path of a result, with /; each level tells more of the input apart, from 4 on by
    digests."""
    safe = [part for part in item.relative.parts if part not in ("..", item.relative.anchor)]
    *folders, name = safe or ["picture"]
    if level in (2, 3):
        root = item.folder or item.path.absolute().parent
        folders.insert(0, root.absolute().name or "root")
    stem = PurePath(name).stem if level in (0, 2) else name
    if level >= 4 or len(os.fsencode(stem + suffix)) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(f"{level}:{item.path.absolute()}")).hexdigest()
        stem = f"{_shortened(stem)}~{digest[:8]}"
    return "/".join([*folders, stem + suffix])


def _shortened(stem: str) -> str:
    while len(os.fsencode(stem)) > _MAX_NAME_BYTES - 20:
        stem = stem[:-1]
    return stem


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _check_suffix(output: Path, suffix: str) -> None:
    given = output.suffix.lower()
    if _SAME_SUFFIX.get(given, given) != _SAME_SUFFIX.get(suffix, suffix):
        raise InputError(
            where=f"output {output}",
            expected=f"a name that ends in {suffix}, as the format says",
            found=output.suffix,
            fix=f"name it {output.with_suffix(suffix).name}, or choose the format that it names (--format)",
        )


def _check_folder(inputs: Sequence[InputPicture], output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise OutputError(
            where=f"output {output}",
            expected="a folder, or no such file yet",
            found="a file",
            fix="name another output folder",
        )
    if len(inputs) > 1 and output.suffix.lower() in PICTURE_SUFFIXES and not output.exists():
        raise InputError(
            where=f"output {output}",
            expected=f"a folder for {len(inputs)} pictures",
            found="the name of one picture",
            fix="name a folder",
        )
    real = output.resolve()
    for folder in {item.folder for item in inputs if item.folder is not None}:
        if folder.resolve() == real:
            raise InputError(
                where=f"output {output}",
                expected="a folder of its own",
                found="the folder of the pictures; the next run would take the results for photos",
                fix=f"name another one, such as {output / 'out'}",
            )


def _check_inputs_survive(inputs: Sequence[InputPicture], planned: Sequence[Path]) -> None:
    real_folders: dict[Path, str] = {}

    def entry(path: Path) -> str:
        folder = path.parent
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(folder)
        return f"{real_folders[folder]}{os.sep}{path.name}"

    results = {entry(path) for path in planned}
    for item in inputs:
        taken = entry(item.path) in results
        if taken or (item.path.is_symlink() and os.path.realpath(item.path) in results):
            raise InputError(
                where=f"output for {item.path}",
                expected="a place where no input lies",
                found="the input picture itself" if taken else "the picture that this input links to",
                fix="name another output folder",
            )
