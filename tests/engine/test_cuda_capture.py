"""Captures of the engine cuda beside its slots: which stream they take, and what is timed in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from cuda_double import CudaDouble  # noqa: E402

from u2forge.engine.cuda_profile import _timed_on_gpu  # noqa: E402
from u2forge.gpu.capture import capture_stream, working_stream  # noqa: E402
from u2forge.gpu.choose_kernels import _cuda_milliseconds  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> CudaDouble:
    double = CudaDouble()
    double.install(monkeypatch)
    return double


def test_nothing_works_on_the_stream_of_captures(double: CudaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch hands out few streams, again and again.
    handed_out = iter([0, 1, 0, 1, 0, 1])
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: next(handed_out))
    assert capture_stream(CPU) == 0
    assert [working_stream(CPU) for _ in range(3)] == [1, 1, 1]
    assert capture_stream(CPU) == 0


@pytest.mark.parametrize(
    "timed",
    [
        lambda call: _cuda_milliseconds(CPU, call),
        lambda call: partial(_timed_on_gpu, CPU)(call, 3)[0],
    ],
    ids=["choice of kernels", "profile"],
)
def test_a_call_is_timed_within_one_launch_of_many(double: CudaDouble, timed: Any) -> None:
    x = torch.ones(3)
    calls = []

    def call() -> Any:
        calls.append(len(double.captured_in))
        return x.mul(2).add_(1).relu_()

    # The double's clock ticks once for each operation, and once for the event behind them.
    assert timed(call) == pytest.approx(3.1)
    # Before the capture, where whatever is compiled is compiled; then in it.
    assert calls[0] == 0
    assert calls.count(1) == 10
