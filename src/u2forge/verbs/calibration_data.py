"""What the user names as calibration (folders, lists, `random`, a file of ranges) → pictures and ranges, checked."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from u2forge.errors import ImageError, InputError
from u2forge.model_file.quantization_record import CalibrationRecord, CalibrationSource
from u2forge.pipeline.inputs import InputPicture, collect_inputs
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.read_picture import read_picture
from u2forge.quantize.ranges import Range
from u2forge.weights.digest import sha256_of

T = TypeVar("T")
Sources = str | Path | Sequence[str | Path]
RANDOM = "random"
RANGES_SUFFIX = ".json"
# Of the pictures that calibrate, one in so many is held back for the gate, where it is given none of its own.
HELD_BACK = 3
MOST_CHECKED = 32
_RANDOM_PIXELS = 320
_RANDOM_SEED = 20


@dataclass(frozen=True)
class CalibrationData:
    """pictures: to calibrate with; check: for the gate, none of them among `pictures`; random: the grey levels to
    draw pictures from, None where there are real ones; ranges: given ones, by activation."""

    pictures: tuple[InputPicture, ...]
    check: tuple[InputPicture, ...]
    random: Range | None = None
    ranges: dict[str, Range] = field(default_factory=dict)
    count: int = 0

    @property
    def source(self) -> CalibrationSource:
        """Where the ranges come from."""
        if self.random is not None:
            return "random"
        return "pictures" if self.pictures else "ranges"


def calibration_data(calibration: Sources, *, check: Sources, count: int) -> CalibrationData:
    """The pictures and ranges that the sources name. count: how many pictures to take, evenly spread.

    Without check pictures, every third of the calibration pictures is held back for the gate.
    Raises InputError where there is nothing, or a file of ranges is broken.
    """
    sources = _listed(calibration)
    if not sources:
        raise InputError(
            where="build, option 'calibration'",
            expected="pictures to quantize with: a folder, a list file, `random`, or a .json file of ranges",
            found="none",
            fix="add --calibration FOLDER with 100 or more ordinary photos",
        )
    if count < 1:
        raise InputError(
            where="build, option 'calibration_count'",
            expected="at least 1",
            found=str(count),
            fix="leave it out, or give a larger number",
        )
    random, ranges, paths = _sorted_out(sources)
    if random is not None and paths:
        raise InputError(
            where="build, option 'calibration'",
            expected="either `random` or pictures",
            found="both",
            fix="leave one of them out",
        )
    pictures = evenly_spread(collect_inputs(paths), count) if paths else []
    checked = evenly_spread(collect_inputs(_listed(check)), MOST_CHECKED) if _listed(check) else []
    if not checked and len(pictures) >= HELD_BACK:
        checked = evenly_spread(pictures[HELD_BACK - 1 :: HELD_BACK], MOST_CHECKED)
    held = {str(item.path.absolute()) for item in checked}
    pictures = [item for item in pictures if str(item.path.absolute()) not in held]
    return CalibrationData(
        pictures=tuple(pictures),
        check=tuple(checked),
        random=random,
        ranges=ranges,
        count=count if random is not None else len(pictures) or len(ranges),
    )


def _listed(sources: Sources) -> list[str | Path]:
    return [sources] if isinstance(sources, str | Path) else list(sources)


def _sorted_out(sources: Sequence[str | Path]) -> tuple[Range | None, dict[str, Range], list[str | Path]]:
    random: Range | None = None
    ranges: dict[str, Range] = {}
    paths: list[str | Path] = []
    for source in sources:
        word = str(source)
        if word == RANDOM or word.startswith(f"{RANDOM}:"):
            random = _random_range(word)
        elif word.lower().endswith(RANGES_SUFFIX):
            ranges |= read_ranges(Path(word).expanduser())
        else:
            paths.append(source)
    return random, ranges, paths


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items, from the middles of as many equal parts; all of them where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[int((index + 0.5) * len(items) / count)] for index in range(count)]


def _random_range(word: str) -> Range:
    text = word.partition(":")[2] or "0,255"
    try:
        low, high = (float(part) for part in text.split(","))
        if not 0 <= low < high <= 255:
            raise ValueError
    except ValueError as error:
        raise InputError(
            where=f"build, option 'calibration', {word!r}",
            expected="random, or random:LOW,HIGH with grey levels 0 <= LOW < HIGH <= 255",
            found=text,
            fix="write random:0,255",
        ) from error
    return low, high


def read_ranges(path: Path) -> dict[str, Range]:
    """The ranges in a JSON file: {"name of an activation": [low, high], …}. Raises InputError."""

    def wrong(found: str) -> InputError:
        return InputError(
            where=f"file of ranges {path}",
            expected='a JSON object {"activation": [low, high], …} of finite numbers, low < high',
            found=found,
            fix="correct the file; `u2forge inspect MODEL` lists the names of the layers",
        )

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise wrong(str(error)[:120]) from error
    if not isinstance(values, dict):
        raise wrong(type(values).__name__)
    found: dict[str, Range] = {}
    for name, pair in values.items():
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(end) in (int, float) for end in pair)):
            raise wrong(f"{name!r}: {str(pair)[:60]}")
        try:
            low, high = float(pair[0]), float(pair[1])
        except OverflowError as error:
            raise wrong(f"{name!r}: {str(pair)[:60]}") from error
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise wrong(f"{name!r}: [{low}, {high}]")
        found[name] = (low, high)
    return found


def check_range_names(data: CalibrationData, activations: Collection[str]) -> None:
    """Raises InputError where given ranges are of no activation, or, without any pictures, one lacks its range."""
    check_ranges(data.ranges, activations, complete=data.source == "ranges")


def check_ranges(ranges: Collection[str], activations: Collection[str], *, complete: bool) -> None:
    """Raises InputError where one of the names is of no activation, or, where they must be complete, one is missing."""
    unknown = [name for name in ranges if name not in activations]
    if unknown:
        near = difflib.get_close_matches(unknown[0], activations, n=1)
        raise InputError(
            where="given ranges",
            expected="names of activations of this network",
            found=f"{unknown[0]!r}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            fix=f"did you mean {near[0]!r}?" if near else f"they are {', '.join(list(activations)[:3])}, …",
        )
    missing = [name for name in activations if name not in ranges]
    if complete and missing:
        raise InputError(
            where="given ranges",
            expected=f"a range for each of the {len(activations)} activations, where there are no pictures",
            found=f"none for {missing[0]!r}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            fix="add them, or give pictures with a further --calibration FOLDER",
        )


def calibration_record(data: CalibrationData, read: Sequence[InputPicture]) -> CalibrationRecord:
    """What the model file says of the data. read: the pictures that could be read."""
    digest = hashlib.sha256(repr((data.random, sorted(data.ranges.items()))).encode())
    for item in read:
        digest.update(sha256_of(item.path).encode())
    count = data.count if data.source != "pictures" else len(read)
    return CalibrationRecord(source=data.source, count=count, sha256=digest.hexdigest())


def readable_pictures(
    items: Sequence[InputPicture], failures: list[str]
) -> Iterator[tuple[InputPicture, Picture]]:
    """Each picture that can be read; a broken one is told in `failures` and left out."""
    for item in items:
        try:
            yield item, read_picture(item.path)
        except ImageError as error:
            failures.append(str(error))


def random_pictures(data: CalibrationData) -> Iterator[Picture]:
    """Pictures of independent random pixels in the range, the same each time."""
    assert data.random is not None
    low, high = data.random
    draw = np.random.default_rng(_RANDOM_SEED)
    for index in range(data.count):
        pixels = np.rint(draw.uniform(low, high, (_RANDOM_PIXELS, _RANDOM_PIXELS, 3))).astype(np.uint8)
        yield Picture(pixels, None, None, None, f"random picture {index}")
