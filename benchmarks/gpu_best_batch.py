"""The batch size at which each candidate of the GPU benchmark is the fastest: doubled as long as that gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_candidates import Candidate
    from gpu_rounds import Conditions

# What gains less is not worth the memory of twice the batch.
WORTHWHILE = 1.03


def search_best(
    wanted: Sequence[Candidate],
    batches: Sequence[int],
    most: int,
    record: dict[str, Any],
    conditions: Conditions,
    keep: Callable[[], None],
) -> None:
    """Doubles the batch of those whose pictures a second still rise, together. keep: writes the record."""
    from gpu_rounds import measure_round

    batch = max(batches)
    while (batch := batch * 2) <= most:
        rising = [each for each in wanted if is_rising(each.name, record["rows"])]
        if not rising:
            return
        conditions.run_time.say(f"batch {batch}: {len(rising)} candidates still gain")
        record["rows"] += measure_round(rising, batch, conditions)
        keep()


def is_rising(name: str, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the last two batch sizes show that a larger one is worth a try; where there is only one, it is."""
    own = [row for row in rows if row["candidate"] == name]
    if not own or own[-1]["status"] != "complete":
        return False
    rates = [row["pictures_per_s"] for row in own if "pictures_per_s" in row]
    return len(rates) < 2 or rates[-1] > WORTHWHILE * rates[-2]
