"""The pool of requests: none is lost, whoever interrupts a run or closes the engine meanwhile; all are freed."""

from __future__ import annotations

import gc
import random
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from installed_engines import INSTALLED, options_for

from small_model_files import doubled_proto, picture_batch, rectified_proto, write_proto
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.protocol import EngineInfo, Phases, Tensors
from u2forge.engine.registry import open_engine
from u2forge.errors import EngineError

ONE = {"value": np.ones((1, 1, 4, 4), np.float32)}
# Longer than anything here takes on a busy machine.
PATIENCE_S = 60
needs_timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals on this system")


class Request:
    """A request, for the engine that `engine_of` makes."""


def engine_of(
    infer: Callable[[Request, Tensors, Phases], Answer], *, streams: int = 1
) -> PooledEngine[Request]:
    info = EngineInfo("fake", "1", "cpu", "a fake", "float32", "float32", {}, streams, streams, (), ())
    return PooledEngine(info, Request, infer)


@contextmanager
def alarms(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within the block, timer signals of this thread go there; after it none comes any more."""
    # Once a test has used Hypothesis, the collector calls it back: what a handler raises there fails the test.
    gc.disable()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


@contextmanager
def ending_in_time() -> Iterator[None]:
    """An error, and no test that hangs, where the block waits for a request that never comes."""

    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    with alarms(fail):
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        yield


def interrupt_runs(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt where the main thread is within PooledEngine.run."""
    # The next signal, on a machine that takes longer for this than the pause between two.
    if frame is not None and frame.f_code is interrupt_runs.__code__:
        return
    while frame is not None:
        if frame.f_code is PooledEngine.run.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


@needs_timers
@pytest.mark.parametrize("name", INSTALLED)
def test_a_run_may_be_interrupted_anywhere(name: str, tmp_path: Path) -> None:
    parts = rectified_proto()
    inputs = {"x": picture_batch(parts[1][0])}
    engine = open_engine(write_proto(parts, tmp_path / "model.onnx"), engine=name, options=options_for(name))
    right = engine.run(inputs)["d0"]
    chance = random.Random(0)
    interrupted = 0
    end = time.monotonic() + 2
    with alarms(interrupt_runs):
        while time.monotonic() < end:
            # Every so often, so that one may meet what another one left to be done.
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 5e-4), 5e-5)
            try:
                assert np.array_equal(engine.run(inputs)["d0"], right)
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted > 50
    with ending_in_time():
        assert np.array_equal(engine.run(inputs)["d0"], right)
        assert np.array_equal(engine.submit(inputs).result()["d0"], right)
        engine.close()


@needs_timers
def test_an_interrupt_after_waiting_for_a_request_does_not_lose_it() -> None:
    go_on = threading.Event()
    begun = threading.Event()

    def infer(request: Request, inputs: Tensors, phases: Phases) -> Answer:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return {}

    engine = engine_of(infer)
    running = engine.submit({})
    assert begun.wait(PATIENCE_S)
    with alarms(interrupt_runs):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            engine.run({})
    go_on.set()
    assert running.result(PATIENCE_S) == {}
    with ending_in_time():
        assert engine.run({}) == {}
        engine.close()


@needs_timers
def test_an_interrupted_close_can_be_ended() -> None:
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def infer(request: Request, inputs: Tensors, phases: Phases) -> Answer:
        begun.release()
        assert go_on.wait(PATIENCE_S)
        return {}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    function = weakref.ref(infer)
    engine = engine_of(infer, streams=2)
    del infer
    with ThreadPoolExecutor(3) as callers:
        runs = [callers.submit(engine.run, {})]
        assert begun.acquire(timeout=PATIENCE_S)
        with alarms(interrupt), pytest.raises(KeyboardInterrupt):
            # By then it has the request that is idle.
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            engine.close()
        go_on.set()
        with ending_in_time():
            engine.close()
        assert [run.result(PATIENCE_S) for run in runs] == [{}]
    gc.collect()
    assert function() is None
    with pytest.raises(EngineError, match="a closed one"):
        engine.run({})


def test_closing_while_some_run_and_others_wait_for_a_request() -> None:
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def infer(request: Request, inputs: Tensors, phases: Phases) -> Answer:
        begun.release()
        assert go_on.wait(PATIENCE_S)
        return {}

    engine = engine_of(infer, streams=2)
    with ThreadPoolExecutor(10) as callers:
        running = [callers.submit(engine.run, {}) for _ in range(2)]
        assert all(begun.acquire(timeout=PATIENCE_S) for _ in running)
        waiting = [callers.submit(engine.run, {}) for _ in range(6)]
        time.sleep(0.05)
        closings = [callers.submit(engine.close) for _ in range(2)]
        time.sleep(0.05)
        ended = [one.done() for one in (*running, *waiting, *closings)]
        go_on.set()
        assert not any(ended)
        for one in (*running, *closings):
            assert one.result(PATIENCE_S) in ({}, None)
        for one in waiting:
            error = one.exception(PATIENCE_S)
            if error is not None:
                assert isinstance(error, EngineError)
                assert "a closed one" in str(error)


def test_what_was_submitted_before_closing_is_answered_all_the_same() -> None:
    begun = threading.Event()

    def infer(request: Request, inputs: Tensors, phases: Phases) -> Answer:
        begun.set()
        time.sleep(0.01)
        return {}

    engine = engine_of(infer)
    futures = [engine.submit({}) for _ in range(5)]
    assert begun.wait(PATIENCE_S)
    engine.close()
    assert [future.result(0) for future in futures] == [{}] * 5


def test_closing_frees_the_requests_and_what_infers() -> None:
    requests: list[weakref.ref[Request]] = []

    def infer(request: Request, inputs: Tensors, phases: Phases) -> Answer:
        requests.append(weakref.ref(request))
        return {}

    function = weakref.ref(infer)
    engine = engine_of(infer)
    del infer
    engine.run({})
    assert requests[0]() is not None
    engine.close()
    gc.collect()
    assert (requests[0](), function()) == (None, None)


@pytest.mark.parametrize("name", [name for name in INSTALLED if name != "cuda"])
def test_closing_frees_the_compiled_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[weakref.ref[Any]] = []

    class Watched(PooledEngine[Any]):
        def __init__(self, info: EngineInfo, new_request: Any, infer: Any) -> None:
            # The native engine's program knows no weak references; what it runs does.
            compiled.append(weakref.ref(infer.args[0] if name == "native" else new_request.__self__))
            super().__init__(info, new_request, infer)

    monkeypatch.setattr(f"u2forge.engine.{name}_engine.PooledEngine", Watched)
    engine = open_engine(write_proto(doubled_proto(), tmp_path / "model.onnx"), engine=name)
    assert (engine.run(ONE)["total"] == 2).all()
    engine.close()
    gc.collect()
    assert compiled[0]() is None
