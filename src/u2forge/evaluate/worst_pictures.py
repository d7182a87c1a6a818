"""The few pictures of a data set with the largest error, found in one pass."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class RankedPicture:
    """One picture's error; among equals the earlier one ranks higher. position: its place in the data set."""

    error: float
    order: int = field(repr=False)
    name: str = field(compare=False)

    @property
    def position(self) -> int:
        """Its place in the data set."""
        return -self.order


class WorstPictures:
    """At most `most` pictures, those of the largest error so far."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[RankedPicture] = []

    def add(self, error: float, position: int, name: str) -> str | None:
        """Takes the picture in where its error is large enough. The name of the one that has to leave for it (its
        own, where it is not taken), None where there is room."""
        ranked = RankedPicture(error, -position, name)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, ranked)
            return None
        return heapq.heappushpop(self._heap, ranked).name

    def __contains__(self, name: str) -> bool:
        return any(ranked.name == name for ranked in self._heap)

    def ranked(self) -> list[RankedPicture]:
        """The pictures, the worst first."""
        return sorted(self._heap, reverse=True)
