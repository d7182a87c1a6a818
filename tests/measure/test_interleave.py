"""Workers as processes: asked, in turn, failing alone, never left behind."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from u2forge.errors import EngineError
from u2forge.measure.interleave import TurnLog, run_interleaved
from u2forge.measure.worker_process import WorkerProcess

PROGRAM = Path(__file__).with_name("fake_worker.py")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def start(milliseconds: float, wrong: str = "") -> WorkerProcess:
    return WorkerProcess([sys.executable, str(PROGRAM), str(milliseconds), wrong], label=wrong or "worker")


@pytest.fixture
def logs() -> Iterator[list[TurnLog]]:
    found: list[TurnLog] = []
    yield found
    for log in found:
        log.worker.kill()


def test_turns_go_round_until_each_has_enough(logs: list[TurnLog]) -> None:
    logs += [TurnLog(start(1)), TurnLog(start(5)), TurnLog(start(1))]
    order: list[int] = []
    run_interleaved(
        logs, iterations=20, seconds=0.06, rounds=4, after_turn=lambda log: order.append(logs.index(log))
    )
    rounds = min(len(log.turns) for log in logs)
    assert rounds >= 4
    assert order[: 3 * rounds] == [0, 1, 2] * rounds
    for log in logs:
        assert log.iterations >= 20
        assert log.wall_s >= 0.06
        assert log.error is None
        assert len(log.samples("latency")) == log.iterations
        assert log.samples("compute") == []
    # Each turn asks for a fourth of both.
    assert len(logs[1].turns[0].samples["latency"]) == 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("dies", "its end by SIGKILL, which the system sends where memory runs out, having said: last words"),
        ("ends", "its end with code 3"),
        ("fails", "fails: there: expected more; found less. To mend: add some."),
    ],
)
def test_a_worker_that_fails_keeps_its_turns_and_stops_nobody(
    logs: list[TurnLog], wrong: str, words: str
) -> None:
    logs += [TurnLog(start(1, wrong)), TurnLog(start(1))]
    run_interleaved(logs, iterations=6, seconds=0, rounds=3)
    assert isinstance(logs[0].error, EngineError)
    assert words in str(logs[0].error)
    assert len(logs[0].turns) == 1
    assert logs[1].iterations == 6


def test_what_is_there_when_it_is_interrupted_stays(logs: list[TurnLog]) -> None:
    logs += [TurnLog(start(1)), TurnLog(start(1))]

    def interrupt(log: TurnLog) -> None:
        if len(logs[1].turns) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_interleaved(logs, iterations=100, seconds=0, before_turn=interrupt)
    assert [len(log.turns) for log in logs] == [2, 2]


def test_a_process_ends_with_its_with_statement() -> None:
    with start(1) as worker:
        assert worker.ask({"open": {"a": 1}}) == {"echo": {"open": {"a": 1}}, "pid": worker.pid}
    assert not _alive(worker.pid)
    worker.close()
    with contextlib.suppress(ZeroDivisionError), start(1) as worker:
        1 / 0  # noqa: B018
    assert not _alive(worker.pid)


def test_closing_waits_for_no_turn_of_an_interrupted_one() -> None:
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), start(60_000) as worker:
        assert worker._process.stdin is not None
        worker._process.stdin.write('{"turn": {"seconds": 60, "iterations": 1}}\n')
        worker._process.stdin.flush()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 5
    assert not _alive(worker.pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
