"""The pairs of a data set → those that are sound, with their size, and what is wrong with the others; by headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from u2forge.errors import InputError, U2ForgeError
from u2forge.evaluate.datasets import Dataset, Pair, PairProblem, ProblemKind
from u2forge.evaluate.grey_mask import grey_of, is_grey_header
from u2forge.pipeline.open_image import opened_image
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS, read_picture, read_upright_size

# Problems that a message shows; all of them are in the results.
PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class CheckedPairs:
    """pairs: sound by their headers, with their size; problems: all others, by name."""

    pairs: tuple[Pair, ...]
    problems: tuple[PairProblem, ...]


def check_pairs(dataset: Dataset, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> CheckedPairs:
    """Every pair looked at: readable, of one size, the mask grey. What only decoding finds is found in the run.

    Raises InputError, with the problems, where no sound pair is left.
    """
    sound: list[Pair] = []
    problems = list(dataset.problems)
    for pair in dataset.pairs:
        checked = _checked(pair, max_pixels)
        if isinstance(checked, Pair):
            sound.append(checked)
        else:
            problems.append(checked)
    problems.sort(key=lambda problem: problem.name)
    if not sound:
        raise no_pair_left(dataset, problems)
    return CheckedPairs(tuple(sound), tuple(problems))


def no_pair_left(dataset: Dataset, problems: Sequence[PairProblem]) -> InputError:
    """The error where nothing is left to evaluate."""
    return InputError(
        where=f"data set {dataset.folder}, layout {dataset.layout}",
        expected="at least one sound pair of photo and mask",
        found=f"none; {'; '.join(described_problems(problems))}",
        fix="mend or leave out these files",
    )


def described_problems(problems: Sequence[PairProblem]) -> list[str]:
    """A line for each of the first problems, and one with the number of those not shown."""
    lines = [f"{problem.name}: {problem.problem} ({problem.reason})" for problem in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"and {len(problems) - PROBLEMS_SHOWN} more")
    return lines


def _checked(pair: Pair, max_pixels: int) -> Pair | PairProblem:
    try:
        photo_size = read_upright_size(pair.photo)
        mask_size = read_upright_size(pair.mask)
        if photo_size != mask_size:
            return _problem(pair, "sizes differ", described_sizes(photo_size, mask_size))
        width, height = photo_size
        if not 0 < width * height <= max_pixels:
            found = f"{width} × {height} = {width * height:,} pixels, more than {max_pixels:,} (--max-pixels)"
            return _problem(pair, "unreadable", found)
        with opened_image(pair.mask) as opened:
            grey_by_header = is_grey_header(opened.image)
        if not grey_by_header and grey_of(read_picture(pair.mask, max_pixels=max_pixels)) is None:
            return _problem(pair, "mask not grey", "colours, or transparency")
    except U2ForgeError as error:
        return _problem(pair, "unreadable", str(error))
    return replace(pair, width=width, height=height)


def described_sizes(photo: tuple[int, int], mask: tuple[int, int]) -> str:
    """(width, height) of both, in words."""
    return f"photo {photo[0]} × {photo[1]}, mask {mask[0]} × {mask[1]}"


def _problem(pair: Pair, problem: ProblemKind, reason: str) -> PairProblem:
    return PairProblem(pair.name, problem, reason)
