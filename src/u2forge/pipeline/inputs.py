"""What the user named (files, folders, globs, list files, -) to the list of pictures, in a fixed order."""

from __future__ import annotations

import difflib
import glob
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from u2forge.errors import InputError
from u2forge.pipeline.walk_folder import is_picture_name, walk_folder

STANDARD_INPUT = "-"
LIST_SUFFIX = ".txt"
# Names looked through for a near match, so that a mistyped path in a huge folder still fails at once.
_NEAR_MATCH_NAMES = 5000


@dataclass(frozen=True)
class InputPicture:
    """One picture to do. relative: its place below what the user named, which its result keeps; never outside
    it. folder: the folder that the user named, None where the picture itself was."""

    path: Path
    relative: PurePath
    folder: Path | None = None


def collect_inputs(specs: Sequence[str | Path]) -> list[InputPicture]:
    """Every picture that the specs name, once each, in the order of the specs, sorted within each.

    A folder is walked (structure kept, hidden files and output folders of u2forge left out), a glob expanded,
    a .txt file read as a list (a path a line, relative to the list; # comments), - is such a list on standard
    input. A file that is named is taken whatever its suffix. Raises InputError on what is missing, empty or
    matches nothing.
    """
    folders: dict[Path, str] = {}
    pictures: dict[str, InputPicture] = {}
    for picture in itertools.chain.from_iterable(_expand(os.fspath(spec)) for spec in specs):
        pictures.setdefault(_real_path(picture.path, folders), picture)
    return list(pictures.values())


def _real_path(path: Path, folders: dict[Path, str]) -> str:
    """os.path.realpath, with one look-up a folder instead of one a path component; `folders` remembers
    them."""
    if path.is_symlink():
        return os.path.realpath(path)
    folder = path.parent
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return f"{folders[folder]}{os.sep}{path.name}"


def _expand(spec: str) -> Iterator[InputPicture]:
    if spec == STANDARD_INPUT:
        yield from _read_list(sys.stdin, Path(), "the list on standard input")
        return
    path = Path(spec).expanduser()
    if path.suffix.lower() == LIST_SUFFIX and path.is_file():
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from _read_list(lines, path.parent, f"list file {path}")
        return
    yield from _expand_path(path, f"input {spec!r}")


def _expand_path(path: Path, where: str) -> Iterator[InputPicture]:
    if path.is_dir():
        yield from _nonempty(_folder_pictures(path, path), where, "a folder with pictures", "none")
    elif path.exists():
        yield InputPicture(path, PurePath(path.name))
    elif glob.has_magic(str(path)):
        yield from _nonempty(_glob_pictures(path), where, "a pattern that matches pictures", "no match")
    else:
        raise _missing(path, where)


def _folder_pictures(folder: Path, root: Path) -> Iterator[InputPicture]:
    below = folder.relative_to(root)
    for name in walk_folder(folder):
        yield InputPicture(folder / name, below / name, root)


def _glob_pictures(pattern: Path) -> Iterator[InputPicture]:
    """Pictures and pictures in folders that match, below the part of the pattern before its first
    wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    root = Path(*fixed)
    wanted = [part if part == "**" else part.replace("**", "*") for part in pattern.parts[len(root.parts) :]]
    recursive = "**" in wanted
    if wanted[-1] == "**":
        wanted.append("*")
    # Path.glob, unlike glob.iglob, does not follow links below **, and so never runs in circles.
    for path in sorted(root.glob("/".join(wanted))):
        if any(part.startswith(".") and part not in wanted for part in path.relative_to(root).parts):
            continue
        if path.is_dir():
            # ** gives the files inside as matches of their own.
            if not recursive:
                yield from _folder_pictures(path, root)
        elif is_picture_name(path.name):
            yield InputPicture(path, path.relative_to(root))


def _read_list(lines: Iterable[str], folder: Path, name: str) -> Iterator[InputPicture]:
    count = 0
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        count += 1
        path = folder / Path(entry).expanduser()
        if not glob.has_magic(entry) and not path.exists():
            # One that is gone is no reason to do none of the others: it is reported as failed when it is read.
            yield InputPicture(path, _below(InputPicture(path, PurePath(path.name)), path, folder))
            continue
        for picture in _expand_path(path, f"{name}, line {number}: {entry!r}"):
            yield InputPicture(picture.path, _below(picture, path, folder), picture.folder)
    if not count:
        raise InputError(
            where=name,
            expected="a path a line",
            found="no path",
            fix="name pictures, folders or patterns in it",
        )


def _below(picture: InputPicture, entry: Path, folder: Path) -> PurePath:
    """The picture's place below the list's folder; its place below the entry where that lies elsewhere."""
    inside = PurePath(os.path.relpath(os.path.abspath(picture.path), os.path.abspath(folder)))  # noqa: PTH100
    if inside.is_absolute() or ".." in inside.parts:
        return picture.relative
    return inside


def _nonempty(
    pictures: Iterator[InputPicture], where: str, expected: str, found: str
) -> Iterator[InputPicture]:
    first = next(pictures, None)
    if first is None:
        raise InputError(
            where=where,
            expected=expected,
            found=found,
            fix="check the path; hidden files and files without a picture's suffix are left out",
        )
    yield first
    yield from pictures


def _missing(path: Path, where: str) -> InputError:
    parent = path.parent
    if not parent.is_dir():
        found, near = f"not even the folder {parent}", []
    else:
        found = "no such file or folder"
        with os.scandir(parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _NEAR_MATCH_NAMES)]
        near = difflib.get_close_matches(path.name, names, n=3)
    hint = (
        f"did you mean {' or '.join(repr(str(parent / name)) for name in near)}?"
        if near
        else "check the path"
    )
    return InputError(
        where=where, expected="a file, folder or pattern that exists", found=found, fix=hint.rstrip("?")
    )
