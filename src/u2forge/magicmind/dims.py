"""Dims: the sizes of a tensor, -1 where one is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from u2forge.errors import InputError

OPEN = -1


class Dims:
    """Sizes in their order. Raises InputError unless they are whole numbers of at least 1, or -1."""

    def __init__(self, sizes: Sequence[int] | Dims = ()) -> None:
        try:
            found = tuple(int(size) for size in sizes)
            fits = all(size == exact for size, exact in zip(found, sizes, strict=True))
        except (TypeError, ValueError):
            found, fits = (), False
        if not fits or any(size < 1 and size != OPEN for size in found):
            raise InputError(
                where="Dims",
                expected="sizes of at least 1, or -1 for an open axis",
                found=repr(sizes),
                fix="write mm.Dims((1, 3, 320, 320)), say",
            )
        self._sizes = found

    def GetDims(self) -> list[int]:
        """All sizes."""
        return list(self._sizes)

    def GetDimValue(self, index: int) -> int:
        """The size of one axis."""
        return self._sizes[index]

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __getitem__(self, index: int) -> int:
        return self._sizes[index]

    def __eq__(self, other: object) -> bool:
        return self._sizes == (other._sizes if isinstance(other, Dims) else other)

    def __hash__(self) -> int:
        return hash(self._sizes)

    def __repr__(self) -> str:
        return f"Dims({list(self._sizes)})"


def dims_of(shape: Sequence[int | None] | None) -> Dims:
    """The Dims of a shape of ours, whose open axes are None."""
    return Dims([OPEN if size is None else size for size in shape or ()])


def shape_of(dims: Dims) -> tuple[int | None, ...]:
    """And back."""
    return tuple(None if size == OPEN else size for size in dims)
