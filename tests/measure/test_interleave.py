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
from u2forge.measure import interleave
from u2forge.measure.interleave import LEAST_TURN_SECONDS, TurnLog, lead_in_of, run_interleaved
from u2forge.measure.timed_runs import Turn, TurnLimits
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
    logs += [TurnLog(start(1)), TurnLog(start(50)), TurnLog(start(1))]
    order: list[int] = []
    run_interleaved(
        logs, iterations=20, seconds=0.6, rounds=4, after_turn=lambda log: order.append(logs.index(log))
    )
    rounds = min(len(log.turns) for log in logs)
    assert rounds >= 4
    assert order[: 3 * rounds] == [0, 1, 2] * rounds
    for log in logs:
        assert log.iterations >= 20
        assert log.wall_s >= 0.6
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
    run_interleaved(logs, iterations=600, seconds=0, rounds=3)
    assert isinstance(logs[0].error, EngineError)
    assert words in str(logs[0].error)
    assert len(logs[0].turns) == 1
    assert logs[1].iterations >= 600


def test_no_turn_is_longer_than_it_may_be(logs: list[TurnLog], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleave, "MOST_TURN_SECONDS", 0.2)
    logs += [TurnLog(start(10)), TurnLog(start(1))]
    run_interleaved(logs, iterations=100, seconds=0, rounds=1)
    for log in logs:
        assert log.iterations >= 100
        assert all(turn.wall_s < 2 for turn in log.turns)
    assert len(logs[0].turns) >= 3


def test_short_turns_are_long_enough_to_be_warm(logs: list[TurnLog]) -> None:
    logs += [TurnLog(start(1))]
    run_interleaved(logs, iterations=10, seconds=0)
    (turn,) = logs[0].turns
    assert turn.wall_s >= LEAST_TURN_SECONDS


def test_an_uncounted_inference_where_it_costs_little() -> None:
    limits = TurnLimits(seconds=0.3, iterations=1)
    log = TurnLog(worker=None)  # type: ignore[arg-type]
    assert lead_in_of(log, limits) == 1
    log.turns.append(Turn(1, 1, {"latency": [29.0, 30.0, 500.0]}))
    assert lead_in_of(log, limits) == 1
    log.turns.append(Turn(1, 1, {"latency": [31.0]}))
    assert lead_in_of(log, limits) == 0


def test_what_is_there_when_it_is_interrupted_stays(logs: list[TurnLog]) -> None:
    logs += [TurnLog(start(1)), TurnLog(start(1))]

    def interrupt(log: TurnLog) -> None:
        if len(logs[1].turns) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_interleaved(logs, iterations=10_000, seconds=0, before_turn=interrupt)
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


def test_nothing_of_a_killed_worker_is_left(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, tempfile; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        'print(\'{"child": %d, "folder": "%s"}\' % (child.pid, tempfile.mkdtemp()), flush=True); '
        "sys.stdin.read()"
    )
    worker = WorkerProcess([sys.executable, "-c", code], label="worker")
    found = worker.ask({})
    assert Path(found["folder"]).is_dir()
    worker.kill()
    assert not Path(found["folder"]).exists()
    deadline = time.monotonic() + 5
    while _runs(found["child"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(found["child"])


def _runs(pid: int) -> bool:
    """Whether it is there and no zombie, which whoever adopted it has yet to bury."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
