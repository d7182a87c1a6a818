"""Workers → turns of each, one worker after the other, round after round, until each has what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median

from u2forge.errors import U2ForgeError
from u2forge.measure.timed_runs import Turn, TurnLimits
from u2forge.measure.worker_process import WorkerProcess

# Enough that a machine that is slow for a while is slow for all, and that the turns' medians show a drift.
ROUNDS = 10
# Whatever is asked for, so that an interruption loses no more (and one inference, where that takes longer).
MOST_TURN_SECONDS = 2.0
# Shorter turns would measure how an engine wakes up.
LEAST_TURN_SECONDS = 0.1
# A turn begins with an uncounted inference where that costs it no more than this.
_LEAD_IN_SHARE = 0.1


@dataclass
class TurnLog:
    """One worker's turns so far. error: what ended it before its time."""

    worker: WorkerProcess
    turns: list[Turn] = field(default_factory=list)
    error: U2ForgeError | None = None

    @property
    def iterations(self) -> int:
        """Inferences of all turns."""
        return sum(len(turn.samples["latency"]) for turn in self.turns)

    @property
    def wall_s(self) -> float:
        """Time of all turns."""
        return sum(turn.wall_s for turn in self.turns)

    def samples(self, name: str) -> list[float]:
        """All turns' samples of that name, in milliseconds."""
        return [value for turn in self.turns for value in turn.samples.get(name, ())]


def run_interleaved(
    logs: Sequence[TurnLog],
    *,
    iterations: int,
    seconds: float,
    rounds: int | None = None,
    before_turn: Callable[[TurnLog], None] | None = None,
    after_turn: Callable[[TurnLog], None] | None = None,
) -> None:
    """Adds turns to the logs, whose workers are open and warm: A B C A B C …, until each has `iterations` and
    `seconds`.

    A worker that fails keeps its turns and its error, and the others go on. What is in the logs when this is
    interrupted is whole. rounds: into how many turns both are divided, None for as many as are good; a turn ends
    after MOST_TURN_SECONDS, and more of them follow.
    """
    rounds = rounds or max(ROUNDS, math.ceil(seconds / MOST_TURN_SECONDS))
    limits = TurnLimits(
        seconds=max(seconds / rounds, LEAST_TURN_SECONDS),
        iterations=-(-iterations // rounds),
        most_seconds=MOST_TURN_SECONDS,
    )
    waiting = [log for log in logs if log.error is None]
    while waiting:
        for log in waiting:
            if before_turn is not None:
                before_turn(log)
            try:
                request = asdict(replace(limits, lead_in=lead_in_of(log, limits)))
                log.turns.append(Turn(**log.worker.ask({"turn": request})["turn"]))
            except U2ForgeError as error:
                log.error = error
            if after_turn is not None:
                after_turn(log)
        waiting = [
            log
            for log in waiting
            if log.error is None and (log.iterations < iterations or log.wall_s < seconds)
        ]


def lead_in_of(log: TurnLog, limits: TurnLimits) -> int:
    """Uncounted inferences before the next turn: one, where that is short against the turn, or not known as yet."""
    if not log.turns:
        return 1
    usual_s = median(log.turns[-1].samples["latency"]) / 1000
    return 1 if usual_s <= _LEAD_IN_SHARE * limits.seconds else 0
