"""Small tables (taps, constants) in one array that travels to the device with the pictures, and is opened there.

A tensor made of Python numbers or of an array would be copied by itself, and the host would wait for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from u2forge.pipeline.resample_taps import Taps

if TYPE_CHECKING:
    import torch

_WORD_BYTES = 8


@dataclass(frozen=True, eq=False)
class DeviceTaps:
    """Taps that lie on a device; see Taps."""

    index: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class TableSlot:
    """Where a table lies in the words that travel. start: in words; dtype: a numpy name."""

    start: int
    shape: tuple[int, ...]
    dtype: str

    def opened(self, words: torch.Tensor) -> torch.Tensor:
        """The table: a view of the words, where they are."""
        import torch

        count = int(np.prod(self.shape))
        end = self.start + _words(count * np.dtype(self.dtype).itemsize)
        return words[self.start : end].view(getattr(torch, self.dtype))[:count].view(self.shape)


@dataclass(frozen=True)
class TapsSlot:
    """Where taps lie in the words that travel."""

    index: TableSlot
    weights: TableSlot

    def opened(self, words: torch.Tensor) -> DeviceTaps:
        """The taps: views of the words, where they are."""
        return DeviceTaps(self.index.opened(words), self.weights.opened(words))


class DeviceTables:
    """The tables of one submission, each of them once."""

    def __init__(self) -> None:
        self._tables: list[NDArray[Any]] = []
        self._slots: dict[int, TableSlot] = {}
        self._end = 0

    def add(self, table: NDArray[Any]) -> TableSlot:
        """The place of the table, which stays as it is from now on."""
        if id(table) not in self._slots:
            self._slots[id(table)] = TableSlot(self._end, table.shape, table.dtype.name)
            self._tables.append(table)  # as long as it lives, no other table has its id
            self._end += _words(table.nbytes)
        return self._slots[id(table)]

    def add_taps(self, taps: Taps) -> TapsSlot:
        """The place of the taps."""
        return TapsSlot(self.add(taps.index), self.add(taps.weights))

    def words(self) -> NDArray[np.int64]:
        """All tables, one after the other. Words of 8 bytes: each table begins where its type may begin."""
        words = np.zeros(self._end, np.int64)
        content = words.view(np.uint8)
        for table in self._tables:
            start = self._slots[id(table)].start * _WORD_BYTES
            content[start : start + table.nbytes] = table.reshape(-1).view(np.uint8)
        return words


def _words(size_bytes: int) -> int:
    return -(-size_bytes // _WORD_BYTES)
