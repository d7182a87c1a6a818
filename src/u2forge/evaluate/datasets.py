"""A data set's folder → its pairs of photo and mask, found by the layouts of public data sets; nothing is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from u2forge.errors import InputError
from u2forge.evaluate.dataset_layouts import FLAT_LAYOUT, LAYOUTS
from u2forge.pipeline.walk_folder import is_picture_name, walk_folder

ProblemKind = Literal[
    "no mask", "no photo", "several of one name", "unreadable", "sizes differ", "mask not grey", "failed"
]
# Names of folders and suffixes that a message lists of what was found.
_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Pair:
    """One photo and its mask. name: the photo's path below the folder of photos, "/" between, which names it in
    all results. width, height: of both, in pixels, 0 until they were checked."""

    name: str
    photo: Path
    mask: Path
    width: int = 0
    height: int = 0

    @property
    def pixels(self) -> int:
        """width × height."""
        return self.width * self.height


@dataclass(frozen=True)
class PairProblem:
    """Why a photo or mask is left out. name: as a pair's."""

    name: str
    problem: ProblemKind
    reason: str

    def as_dict(self) -> dict[str, str]:
        """The problem as plain values, for JSON."""
        return {"name": self.name, "problem": self.problem, "reason": self.reason}


@dataclass(frozen=True)
class Dataset:
    """A data set as it lies on disk. name: its folder's; pairs: sorted by name; problems: files without a partner."""

    name: str
    folder: Path
    layout: str
    pairs: tuple[Pair, ...]
    problems: tuple[PairProblem, ...]


@dataclass(frozen=True)
class _Candidate:
    """One reading of the folder: where photos and masks would lie; for the flat layout both are one folder."""

    layout: str
    photos: Path
    masks: Path


def find_dataset(folder: str | Path) -> Dataset:
    """The data set in `folder`: laid out there, or in one folder below it.

    Raises InputError where the folder is missing, where no layout fits, or more than one.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise _wrong(
            root, "a folder with photos and masks", "no such folder", "check the path given to --dataset"
        )
    candidates = list(_candidates(root))
    if not candidates:
        candidates = [found for below in _folders(root) for found in _candidates(below)]
    if len(candidates) != 1:
        raise _ambiguous(root, candidates) if candidates else _unknown(root)
    (found,) = candidates
    photos, masks = _pictures(found)
    pairs, problems = _paired(photos, masks)
    return Dataset(root.resolve().name, root, found.layout, tuple(pairs), tuple(problems))


def _candidates(root: Path) -> Iterator[_Candidate]:
    if not _flat_names(root, masks=True).isdisjoint(_flat_names(root, masks=False)):
        yield _Candidate(FLAT_LAYOUT, root, root)
    for layout in LAYOUTS:
        for photos in _subfolders(root, layout.photos):
            for masks in _subfolders(root, layout.masks):
                if _holds_pictures(photos) and _holds_pictures(masks):
                    yield _Candidate(str(layout), photos, masks)


def _subfolders(root: Path, relative: str) -> list[Path]:
    """The folders at a lower-case relative path, whatever case they are written in."""
    found = [root]
    for part in relative.split("/"):
        found = [below for folder in found for below in _folders(folder) if below.name.lower() == part]
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _holds_pictures(folder: Path) -> bool:
    return next(walk_folder(folder), None) is not None


def _flat_pictures(folder: Path) -> list[PurePath]:
    try:
        return sorted(PurePath(path.name) for path in folder.iterdir() if is_picture_name(path.name))
    except OSError:
        return []


def _is_flat_mask(picture: PurePath) -> bool:
    return picture.suffix.lower() == ".png"


def _flat_names(folder: Path, *, masks: bool) -> set[str]:
    return {picture.stem for picture in _flat_pictures(folder) if _is_flat_mask(picture) == masks}


Files = dict[str, list[Path]]


def _pictures(found: _Candidate) -> tuple[Files, Files]:
    """Photos and masks by the key that pairs have in common: the relative path without its suffix."""
    if found.photos == found.masks:
        flat = _flat_pictures(found.photos)
        photos = [picture for picture in flat if not _is_flat_mask(picture)]
        masks = [picture for picture in flat if _is_flat_mask(picture)]
    else:
        photos = [PurePath(name) for name in walk_folder(found.photos)]
        masks = [PurePath(name) for name in walk_folder(found.masks)]
    return _by_key(found.photos, photos), _by_key(found.masks, masks)


def _by_key(folder: Path, pictures: Sequence[PurePath]) -> Files:
    files: Files = {}
    for picture in pictures:
        files.setdefault(picture.with_suffix("").as_posix(), []).append(folder / picture)
    return files


def _paired(photos: Files, masks: Files) -> tuple[list[Pair], list[PairProblem]]:
    """Pairs and what has no partner. Where no key is in common, folders that hold all photos (or masks) are passed
    over: DUT-OMRON-image/DUT-OMRON-image/x.jpg, imgs/pascal/x.jpg."""
    while photos.keys().isdisjoint(masks) and (_outer_folder(photos) or _outer_folder(masks)):
        photos, masks = _without_outer_folder(photos), _without_outer_folder(masks)
    pairs, problems = [], []
    for key in sorted({*photos, *masks}):
        photo_files, mask_files = photos.get(key, []), masks.get(key, [])
        if len(photo_files) == 1 == len(mask_files):
            pairs.append(Pair(_name(key, photo_files[0]), photo_files[0], mask_files[0]))
        else:
            problems.append(_without_partner(key, photo_files, mask_files))
    return pairs, problems


def _outer_folder(files: Files) -> str | None:
    """The folder that every key begins with."""
    first = {key.partition("/")[0] if "/" in key else None for key in files}
    return next(iter(first)) if len(first) == 1 else None


def _without_outer_folder(files: Files) -> Files:
    if _outer_folder(files) is None:
        return files
    return {key.partition("/")[2]: paths for key, paths in files.items()}


def _name(key: str, path: Path) -> str:
    return key + path.suffix


def _without_partner(key: str, photos: Sequence[Path], masks: Sequence[Path]) -> PairProblem:
    if not masks:
        return PairProblem(_name(key, photos[0]), "no mask", "no mask of this name")
    if not photos:
        return PairProblem(_name(key, masks[0]), "no photo", "no photo of this name")
    files = ", ".join(path.name for path in (*photos, *masks))
    return PairProblem(_name(key, photos[0]), "several of one name", f"one photo and one mask; found {files}")


def _ambiguous(root: Path, candidates: Sequence[_Candidate]) -> InputError:
    described = [f"{found.layout} at {found.photos} and {found.masks}" for found in candidates[:_NAMES_SHOWN]]
    return _wrong(
        root,
        "one data set",
        f"{len(candidates)} readings of it: {'; '.join(described)}",
        "name the one data set's own folder, or move the others elsewhere",
    )


def _unknown(root: Path) -> InputError:
    layouts = ", ".join([FLAT_LAYOUT, *map(str, LAYOUTS)])
    return _wrong(
        root,
        f"photos and masks in one of these layouts, there or one folder below: {layouts}",
        _described(root),
        "put the photos into images/ and the masks, of the same names, into masks/",
    )


def _described(root: Path) -> str:
    names = [folder.name for folder in _folders(root)]
    shown = ", ".join(f"{name}/" for name in names[:_NAMES_SHOWN])
    if len(names) > _NAMES_SHOWN:
        shown += f" and {len(names) - _NAMES_SHOWN} more folders"
    suffixes = Counter(picture.suffix.lower() for picture in _flat_pictures(root))
    pictures = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    return "; ".join(part for part in (shown or "no folders", pictures or "no pictures") if part)


def _wrong(root: Path, expected: str, found: str, fix: str) -> InputError:
    return InputError(where=f"data set {root}", expected=expected, found=found, fix=fix)
