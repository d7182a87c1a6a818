"""Slots of the engine cuda, against a double of torch.cuda: when they capture, what they give, what does not fit."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from cuda_double import CudaDouble  # noqa: E402

from u2forge.engine.cuda_slot import CudaSlot, KnownBatches, ProcessorSlot  # noqa: E402
from u2forge.engine.protocol import Phases  # noqa: E402

CPU = torch.device("cpu")
Tensors = Mapping[str, Any]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> CudaDouble:
    double = CudaDouble()
    double.install(monkeypatch)
    return double


class Network:
    """x → relu(2x + 1), in a few operations of which one works in place; counts its calls. most: the largest batch that
    it has memory for."""

    def __init__(self, most: int = 1000) -> None:
        self.batches: list[int] = []
        self.most = most

    def __call__(self, inputs: Tensors) -> dict[str, Any]:
        x = inputs["x"]
        self.batches.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        y = x * 2
        y.add_(1)
        return {"y": torch.relu(y)}


def slot_of(network: Any, batches: KnownBatches | None = None, **named: Any) -> CudaSlot:
    options = {"captures": ThreadPoolExecutor(1), "most_difference": 0.01, "tensorfloat32": False}
    return CudaSlot(network, CPU, batches or KnownBatches(), **options | named)


def batch(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((count, 3, 4, 4)).astype(np.float32)


def run(slot: CudaSlot | ProcessorSlot, array: Any, phases: Phases | None = None) -> Any:
    (answer,) = slot.run(
        [array], lambda tensors: {"x": tensors[0]}, lambda outputs: [outputs["y"]], phases or Phases()
    )
    return answer


def expected(array: Any) -> Any:
    return np.maximum(array * 2 + 1, 0)


def test_first_as_it_is_then_captured_then_replayed(double: CudaDouble) -> None:
    network = Network()
    slot = slot_of(network)
    for seed in range(4):
        array = batch(2, seed)
        np.testing.assert_array_equal(run(slot, array), expected(array))
        if seed == 0:
            assert network.batches == [2]
            assert "capture" not in double.log
    # Once as it is, three times to warm up, once captured; replays need no Python.
    assert network.batches == [2] * 5
    assert double.log.count("capture") == 1
    assert double.log.count("replay") == 3


def test_captures_have_a_thread_that_runs_nothing_else(double: CudaDouble) -> None:
    """cuDNN keeps, in each thread, what a shape ran on first, tried or not."""
    threads: list[int] = []

    class Watched(Network):
        def __call__(self, inputs: Tensors) -> dict[str, Any]:
            threads.append(threading.get_ident())
            return super().__call__(inputs)

    captures = ThreadPoolExecutor(1)
    slots = [slot_of(Watched(), captures=captures) for _ in range(2)]
    for slot in slots:
        for _ in range(3):
            run(slot, batch(2))
    own = threading.get_ident()
    (other,) = set(double.captured_in)
    assert other != own
    assert threads == 2 * [own, *[other] * 4]


def test_what_a_graph_reads_lives_as_long_as_the_graph(double: CudaDouble) -> None:
    """It knows addresses only: without its weights it would read what others keep there."""
    made: list[weakref.ref[Any]] = []

    class OwnWeights(Contender):
        def network(self, batch_size: int) -> Any:
            network = Network()
            made.append(weakref.ref(network))
            return network

    slot = slot_of(_slower, contenders=[OwnWeights(lambda count: None)])
    for _ in range(2):
        run(slot, batch(2))
    gc.collect()
    assert made[0]() is not None
    for count in (1, 3, 4, 5) * 2:
        run(slot, batch(count))
    gc.collect()
    assert made[0]() is None


def test_a_slot_captures_at_once_what_another_one_has_run(double: CudaDouble) -> None:
    batches = KnownBatches()
    slots = [slot_of(Network(), batches) for _ in range(3)]
    for slot in slots:
        run(slot, batch(2))
    assert double.log.count("capture") == 2
    for slot in slots:
        run(slot, batch(2))
    assert double.log.count("capture") == 3
    assert double.log.count("replay") == 5


def test_an_answer_stays_when_the_next_one_comes(double: CudaDouble) -> None:
    slot = slot_of(Network())
    arrays = [batch(2, seed) for seed in range(5)]
    answers = [run(slot, array) for array in arrays]
    for answer, array in zip(answers, arrays, strict=True):
        np.testing.assert_array_equal(answer, expected(array))


def test_a_graph_for_each_batch_size_but_not_for_ever(double: CudaDouble) -> None:
    network = Network()
    slot = slot_of(network)
    for _ in range(2):
        for count in (1, 2, 3, 4, 5):
            assert len(run(slot, batch(count))) == count
    assert double.log.count("capture") == 5
    # The graph of one picture had to make room for that of five.
    run(slot, batch(1))
    assert double.log.count("capture") == 6
    run(slot, batch(5))
    assert double.log.count("capture") == 6


def test_what_goes_before_and_after_runs_on_the_device(double: CudaDouble) -> None:
    slot = slot_of(Network())
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in (1, 2, 3)]

    def before(tensors: Sequence[Any]) -> Tensors:
        assert [tensor.dtype for tensor in tensors] == [torch.uint8] * 3
        return {"x": torch.stack([tensor.permute(2, 0, 1).float() for tensor in tensors])}

    def after(outputs: Tensors) -> Sequence[Any]:
        return [one.to(torch.uint8)[0] for one in outputs["y"]]

    for _ in range(3):
        answers = slot.run(pictures, before, after, Phases())
        assert [int(answer.mean()) for answer in answers] == [3, 5, 7]
        assert [answer.dtype for answer in answers] == [np.uint8] * 3


def test_the_devices_own_times(double: CudaDouble) -> None:
    slot = slot_of(Network())
    for _ in range(3):
        phases = Phases()
        run(slot, batch(1), phases)
    assert phases.enqueue_ms is not None
    # One tick for each event, and one for each replayed operation: two copies and no more lie around the network.
    assert (phases.host_to_device_ms, phases.device_to_host_ms) == (1, 1)
    assert phases.compute_ms is not None
    assert phases.compute_ms > 1


def test_a_batch_too_large_runs_in_parts_and_says_so(
    double: CudaDouble, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(most=3)
    batches = KnownBatches()
    slot = slot_of(network, batches)
    array = batch(7)
    with caplog.at_level(logging.WARNING, "u2forge"):
        for _ in range(3):
            np.testing.assert_array_equal(run(slot, array), expected(array))
    assert batches.most == 3
    assert [record.getMessage()[:50] for record in caplog.records] == [
        "a batch of 7 does not fit into the GPU's memory: i",
    ]
    # Another slot of the engine knows it without trying.
    other = Network(most=3)
    run(slot_of(other, batches), array)
    assert max(other.batches) == 3


def test_memory_that_graphs_hold_is_given_back_where_it_lacks_around_the_network(double: CudaDouble) -> None:
    slot = slot_of(Network())
    for _ in range(2):
        run(slot, batch(1))
    calls = []

    def before(tensors: Sequence[Any]) -> Tensors:
        calls.append(len(tensors))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"x": tensors[0]}

    array = batch(1, seed=3)
    (answer,) = slot.run([array], before, lambda outputs: [outputs["y"]], Phases())
    np.testing.assert_array_equal(answer, expected(array))
    assert calls == [1, 1]
    assert double.log.count("empty cache") == 1


def test_one_picture_too_large_is_an_error(double: CudaDouble) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        run(slot_of(Network(most=0)), batch(4))


def test_kernels_are_tried_for_captures_only(double: CudaDouble) -> None:
    slot = slot_of(Network(), tensorfloat32=True)
    for _ in range(3):
        run(slot, batch(1))
    assert [given["benchmark"] for given in double.settings] == [False, True]
    assert {given["allow_tf32"] for given in double.settings} == {True}
    slot = slot_of(Network())
    run(slot, batch(1))
    assert double.settings[-1]["allow_tf32"] is False


@dataclass
class Contender:
    """Gives the network that `make` makes."""

    make: Callable[[int], Any]
    name: str = "the other way"

    def network(self, batch_size: int) -> Any:
        return self.make(batch_size)


def _slower(inputs: Tensors) -> dict[str, Any]:
    y = inputs["x"]
    for _ in range(20):
        y = y + 0
    return {"y": torch.relu(y * 2 + 1)}


def _faster(inputs: Tensors) -> dict[str, Any]:
    # In one operation: max(x, -1/2) would need a second one.
    return {"y": torch.relu_(torch.add(torch.ones(()), inputs["x"], alpha=2))}


def _wrong(inputs: Tensors) -> dict[str, Any]:
    return {"y": inputs["x"] * 0}


def _nothing(inputs: Tensors) -> dict[str, Any]:
    return {"y": inputs["x"] * torch.nan}


@pytest.mark.parametrize(
    ("network", "contender", "said"),
    [
        (_slower, _faster, "with the other way"),
        (_faster, _slower, "with the other way"),
        (_slower, _wrong, "run without the other way: their outputs differ"),
        (_slower, _nothing, "run without the other way: their outputs differ"),
    ],
)
def test_the_faster_one_is_taken_where_it_agrees(
    double: CudaDouble, caplog: pytest.LogCaptureFixture, network: Any, contender: Any, said: str
) -> None:
    slot = slot_of(network, contenders=[Contender(lambda count: contender)])
    with caplog.at_level(logging.INFO, "u2forge"):
        run(slot, batch(2))
        run(slot, batch(2))
    assert any(said in record.getMessage() for record in caplog.records)
    array = batch(2, seed=9)
    before = double.clock
    np.testing.assert_allclose(run(slot, array), expected(array), rtol=1e-6)
    # What was taken shows in how many operations a replay has: fewer than the slow one's.
    agrees = contender in (_faster, _slower)
    assert (double.clock - before < 20) == agrees


def test_a_contender_that_does_not_compile_is_passed_over(
    double: CudaDouble, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(count: int) -> Any:
        raise ValueError("out of resource: shared memory")

    slot = slot_of(Network(), contenders=[Contender(fails)])
    with caplog.at_level(logging.WARNING, "u2forge"):
        for seed in range(3):
            np.testing.assert_array_equal(run(slot, batch(2, seed)), expected(batch(2, seed)))
    assert "run without the other way: out of resource: shared memory" in caplog.text


def test_a_broken_capture_does_not_hinder_the_next(double: CudaDouble) -> None:
    def fails_in_capture(inputs: Tensors) -> dict[str, Any]:
        if double.captured_in[1:]:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        return {"y": torch.relu(inputs["x"] * 2 + 1)}

    slot = slot_of(Network(), contenders=[Contender(lambda count: fails_in_capture)])
    for count in (2, 2, 3, 3):
        np.testing.assert_array_equal(run(slot, batch(count)), expected(batch(count)))
    # Of the second size the contender failed before its capture.
    assert double.log.count("capture") == 3
    assert len(double.broken) == 1


def test_the_processor_gives_arrays_of_the_callers_own() -> None:
    def same(inputs: Tensors) -> dict[str, Any]:
        return {"y": inputs["x"]}

    array = batch(1)
    phases = Phases()
    answer = run(ProcessorSlot(same), array, phases)
    answer[:] = 0
    assert array.any()
    assert phases.compute_ms is not None
    assert phases.host_to_device_ms is None
