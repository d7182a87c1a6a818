"""The kernels as Python sees them: what is refused, what is kept alive, and several threads at once."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from kernel_programs import Program, random_weights
from numpy.typing import NDArray
from onnx_layers import convolved

_kernels = pytest.importorskip("u2forge.native._kernels", reason="the native kernels are not built")


def copying_program() -> Program:
    program = Program("float32")
    program.show(program.blocked_input(5, (6, 7)))
    return program


def opened() -> Any:
    """A session that copies (N, 5, 6, 7); the program and its weights are nowhere else."""
    program = copying_program()
    return _kernels.Program("float32", *program.tables(), program.weights()).session(1, "portable")


OTHER_ARRAYS = [
    np.zeros((1, 5, 6, 8), np.float32),
    np.zeros((1, 4, 6, 7), np.float32),
    np.zeros((5, 6, 7), np.float32),
    np.zeros((0, 5, 6, 7), np.float32),
    np.zeros((1, 5, 6, 7), np.float64),
    np.zeros((1, 5, 6, 7), np.uint8),
]


@pytest.mark.parametrize("wrong", OTHER_ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_run_refuses_other_inputs(wrong: NDArray[Any]) -> None:
    session = opened()
    with pytest.raises((ValueError, TypeError)):
        session.run([wrong], [np.zeros((len(wrong), 5, 6, 7), np.float32)])


@pytest.mark.parametrize(
    "wrong",
    [
        *OTHER_ARRAYS,
        np.zeros((1, 5, 6, 7), np.float32)[..., ::-1],
        np.zeros((1, 5, 7, 6), np.float32).swapaxes(2, 3),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}{a.strides}",
)
def test_run_refuses_other_outputs(wrong: NDArray[Any]) -> None:
    """Those, too, that could be converted: results in a converted copy would be lost."""
    session = opened()
    with pytest.raises((ValueError, TypeError)):
        session.run([np.zeros((1, 5, 6, 7), np.float32)], [wrong])


def test_an_input_in_another_order_is_refused_or_read_in_its_order() -> None:
    session = opened()
    x = np.random.default_rng(1).random((1, 5, 6, 7), np.float32)[..., ::-1]
    output = np.zeros(x.shape, np.float32)
    try:
        session.run([x], [output])
    except (ValueError, TypeError):
        return
    np.testing.assert_array_equal(output, x)


def test_run_refuses_other_numbers_of_arrays_and_times() -> None:
    session = opened()
    x = np.zeros((2, 5, 6, 7), np.float32)
    read_only = x.copy()
    read_only.flags.writeable = False
    for inputs, outputs in [
        ([], [x]),
        ([x], []),
        ([x, x], [x]),
        ([x], [x, x]),
        ([x], [x[:1].copy()]),
        ([x], [read_only]),
    ]:
        with pytest.raises((ValueError, TypeError)):
            session.run(inputs, outputs)
    for times in (np.zeros(1), np.zeros(3), np.zeros(2, np.float32), np.zeros(4)[::2]):
        with pytest.raises((ValueError, TypeError)):
            session.run([x], [x.copy()], times)
    times = np.zeros(2)
    session.run([x], [x.copy()], times)
    assert (times > 0).all()


def test_an_input_may_be_read_only() -> None:
    session = opened()
    x = np.random.default_rng(1).random((2, 5, 6, 7), np.float32)
    x.flags.writeable = False
    output = np.zeros_like(x)
    session.run([x], [output])
    np.testing.assert_array_equal(output, x)


def test_programs_and_levels_that_are_none_are_refused() -> None:
    program = copying_program()
    buffers, steps = program.tables()
    weights = program.weights()
    with pytest.raises(ValueError, match="precision"):
        _kernels.Program("float16", buffers, steps, weights)
    for tables in [
        (buffers[:, :5].copy(), steps),
        (buffers, steps[:0]),
        (buffers[:-1], steps),
        (buffers[:0], steps),
    ]:
        with pytest.raises(ValueError, match=r"."):
            _kernels.Program("float32", *tables, weights)
    with pytest.raises(ValueError, match=r"."):
        _kernels.Program("float32", buffers, steps, weights[:64])
    room = np.zeros(len(weights) + 128, np.uint8)
    start = -room.ctypes.data % 64 + 4
    with pytest.raises(ValueError, match="align"):
        _kernels.Program("float32", buffers, steps, room[start : start + len(weights)])
    runnable = _kernels.Program("float32", buffers, steps, weights)
    for level in ("avx1024", ""):
        with pytest.raises(ValueError, match=r"."):
            runnable.session(1, level)


def test_a_program_keeps_what_it_needs() -> None:
    """Its weights, when nobody else holds them; itself, when only a session is left."""
    session = opened()
    for _ in range(20):
        np.full(1 << 16, 255, np.uint8)
    x = np.random.default_rng(1).random((1, 5, 6, 7), np.float32)
    output = np.zeros_like(x)
    session.run([x], [output])
    np.testing.assert_array_equal(output, x)


@pytest.mark.needs_onnxruntime
@pytest.mark.parametrize("shared", [False, True], ids=["a session each", "one session"])
def test_several_python_threads_at_once(shared: bool) -> None:
    generator = np.random.default_rng(3)
    weight, bias = random_weights(generator, 40, 40)
    size = (30, 31)
    program = Program("float32")
    source, target = program.blocked_input(40, size), program.place(40, size)
    program.convolution(source, target, weight, bias)
    program.show(target)
    runnable = _kernels.Program("float32", *program.tables(), program.weights())
    xs = generator.random((4, 2, 40, *size), np.float32)
    expected = [np.maximum(convolved(x, weight, bias), 0) for x in xs]
    one = runnable.session(2, _kernels.levels()[0])
    wrong: list[str] = []

    def work(index: int) -> None:
        session = (
            one
            if shared
            else runnable.session(1 + index % 3, _kernels.levels()[index % len(_kernels.levels())])
        )
        for _ in range(15):
            outputs = program.outputs(2)
            session.run([xs[index]], outputs)
            if not np.allclose(outputs[0], expected[index], rtol=0, atol=1e-4):
                wrong.append(f"thread {index}")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_a_checksum_sees_each_byte_and_the_length() -> None:
    generator = np.random.default_rng(4)
    for size in (0, 1, 63, 64, 65, 1000):
        whole = generator.integers(0, 256, size).astype(np.uint8)
        seen = {_kernels.checksum(whole), _kernels.checksum(np.append(whole, np.uint8(0)))}
        for place in range(0, size, max(1, size // 40)):
            changed = whole.copy()
            changed[place] ^= 1 << int(generator.integers(8))
            seen.add(_kernels.checksum(changed))
        assert len(seen) == 2 + len(range(0, size, max(1, size // 40)))
