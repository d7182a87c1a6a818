"""Models, devices, engines, contexts, queues and tensors: what runs, what waits, and what is refused."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from programs import Running, built, config, noise, parsed, reference, worst

import u2forge
import u2forge.magicmind as mm
from u2forge.errors import EngineError, InputError
from u2forge.magicmind.devices import LocalDevice
from u2forge.magicmind.model import remove_own
from u2forge.magicmind.task_queue import Queue

PICTURE = (1, 3, 16, 16)


@pytest.fixture(scope="module")
def model(classifier: Path) -> mm.Model:
    return built(parsed(classifier, PICTURE), config())


def test_a_model_survives_its_file(model: mm.Model, classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    assert model.serialize_to_file(str(path)).ok()
    again = mm.Model()
    assert again.deserialize_from_file(str(path)).ok()
    assert again.serialize_to_file(path).ok()
    assert (again.get_input_num(), again.get_output_num()) == (1, 1)
    assert (again.get_input_names(), again.get_output_names()) == (["picture"], ["logits"])
    assert again.get_output_dimensions() == [mm.Dims((1, 10))]
    assert again.manifest == model.manifest
    picture = noise(*PICTURE)
    assert worst(Running(again)(picture), reference(classifier, picture)) < 1e-5


def test_broken_and_missing_files_are_told_apart(tmp_path: Path, classifier: Path) -> None:
    model = mm.Model()
    assert model.deserialize_from_file(tmp_path / "none").code is mm.Code.NOT_FOUND
    (tmp_path / "junk").write_bytes(b"junk" * 99)
    for path in (tmp_path / "junk", classifier):
        status = model.deserialize_from_file(path)
        assert status.code is mm.Code.DATA_LOSS
        assert "files made for a card hold code of that card" in status.message
    assert (
        "found an empty one. To mend: call deserialize_from_file"
        in model.serialize_to_file(tmp_path / "x").message
    )


def test_models_of_another_target_are_refused_and_replaced(
    model: mm.Model, magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.mm"
    u2forge.build(tiny_checkpoint, out=path, target="mlu370", input_height=32, input_width=48)
    status = mm.Model().deserialize_from_file(path)
    assert status.code is mm.Code.DATA_LOSS
    assert "found a model for the target mlu370" in status.message
    assert model.serialize_to_file(path).ok()
    assert mm.Model().deserialize_from_file(path).ok()


def test_nothing_is_made_before_a_device_is_active(model: mm.Model, caplog: pytest.LogCaptureFixture) -> None:
    device = mm.Device()
    assert device.create_queue() is None
    assert model.create_i_engine(mm.Model.EngineConfig()) is None
    assert caplog.text.count("FAILED_PRECONDITION") == 2
    assert "device.active() before" in caplog.text
    run = Running(model)
    inputs = run.context.create_inputs()
    inputs[0].from_numpy(noise(*PICTURE))
    status = run.context.enqueue(inputs, [], None)
    assert status.code is mm.Code.FAILED_PRECONDITION
    assert "call device.active(), then device.create_queue()" in status.message


def test_devices_are_counted_from_zero() -> None:
    with mm.System() as system:
        assert system.device_count() >= 1
        device = mm.Device()
        device.id = system.device_count()
        status = device.active()
        assert status.code is mm.Code.INVALID_ARGUMENT
        assert "0: the processor" in status.message
        device.id = -1
        assert "write device.id = 0" in device.active().message


def test_another_device_type_is_refused(model: mm.Model, caplog: pytest.LogCaptureFixture) -> None:
    assert mm.Device().active().ok()
    settings = mm.Model.EngineConfig()
    settings.device_type = "GPU"
    assert model.create_i_engine(settings) is None
    assert "'MLU', which stands for this machine's device; found 'GPU'" in caplog.text


def test_an_input_keeps_a_copy(model: mm.Model, classifier: Path) -> None:
    run = Running(model)
    (tensor,) = run.context.create_inputs()
    assert (tensor.shape, tensor.name, tensor.data_type) == (PICTURE, "picture", mm.DataType.FLOAT32)
    picture = noise(*PICTURE)
    changed = picture.copy()
    tensor.from_numpy(changed)
    assert tensor.to(mm.Device()) is tensor
    outputs: list[mm.Tensor] = []
    assert run.context.enqueue([tensor], outputs, run.queue).ok()
    changed[:] = np.nan
    tensor.from_numpy(noise(*PICTURE, seed=9))
    assert run.queue.sync().ok()
    assert worst([outputs[0].asnumpy()], reference(classifier, picture)) < 1e-5
    assert outputs[0].shape == (1, 10)


def test_an_input_that_was_refused_holds_nothing(model: mm.Model) -> None:
    run = Running(model)
    inputs = run.context.create_inputs()
    assert inputs[0].from_numpy(noise(*PICTURE)).ok()
    for wrong in (noise(1, 3, 16, 15), noise(*PICTURE).astype(np.float64)):
        status = inputs[0].from_numpy(wrong)
        assert status.code is mm.Code.INVALID_ARGUMENT
        assert f"expected float32 (1, 3, 16, 16) NCHW; found {wrong.dtype} {wrong.shape}" in status.message
        assert "call from_numpy(array) on it" in run.context.enqueue(inputs, [], run.queue).message
    with pytest.raises(InputError, match="one that was refused"):
        inputs[0].asnumpy()


def test_what_cannot_be_enqueued(model: mm.Model) -> None:
    run = Running(model)
    inputs = run.context.create_inputs()
    inputs[0].from_numpy(noise(*PICTURE))
    assert "1 tensors of create_inputs(); found 2" in run.context.enqueue(inputs * 2, [], run.queue).message
    arrays: Any = [noise(*PICTURE)]
    assert "found 1: ndarray" in run.context.enqueue(arrays, [], run.queue).message
    nothing: Any = None
    assert "write outputs = [] before" in run.context.enqueue(inputs, nothing, run.queue).message


def test_a_queue_answers_for_all_that_is_in_it(model: mm.Model, classifier: Path) -> None:
    run = Running(model)
    pictures = [noise(*PICTURE, seed=seed) for seed in range(5)]
    waiting = []
    inputs = run.context.create_inputs()
    for picture in pictures:
        outputs: list[mm.Tensor] = []
        inputs[0].from_numpy(picture)
        assert run.context.enqueue(inputs, outputs, run.queue).ok()
        waiting.append(outputs)
    assert run.queue.sync().ok()
    assert run.queue.sync().ok()
    for picture, outputs in zip(pictures, waiting, strict=True):
        assert worst([outputs[0].asnumpy()], reference(classifier, picture)) < 1e-5


def test_a_queue_that_is_never_waited_for_keeps_no_answers() -> None:
    queue = Queue(LocalDevice("auto", "auto"))
    answered, failing, waiting = Future[Any](), Future[Any](), Future[Any]()
    answered.set_result({})
    failing.set_exception(EngineError(where="here", expected="an answer", found="none", fix="try again"))
    for future in (answered, failing, waiting):
        queue.add(lambda future=future: future)
    assert queue._pending == [failing, waiting]
    waiting.set_result({})
    assert "expected an answer" in queue.sync().message
    assert queue.sync().ok()


def test_a_forked_child_leaves_the_parents_files(tmp_path: Path) -> None:
    remove_own(tmp_path, os.getpid() + 1)
    assert tmp_path.is_dir()
    remove_own(tmp_path, os.getpid())
    assert not tmp_path.exists()


def test_a_failed_inference_is_a_status_of_sync(model: mm.Model) -> None:
    run = Running(model)
    failure: Future[Any] = Future()
    failure.set_exception(EngineError(where="engine", expected="an answer", found="none", fix="try again"))
    outputs = [mm.Tensor(model.manifest.outputs[0], answer=failure)]
    run.queue.add(lambda: failure)
    assert run.queue.sync().code is mm.Code.INTERNAL
    assert run.queue.sync().ok()
    with pytest.raises(EngineError, match=r"output 'logits'.*look at the Status that queue\.sync"):
        outputs[0].asnumpy()


def test_an_output_can_be_the_next_input_before_it_is_there(tmp_path: Path, detector: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[1, 4] x) => (float[1, 4] y) { y = Sigmoid(x) }'
    path = tmp_path / "sigmoid.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    run = Running(built(parsed(path), config()))
    tensors = run.context.create_inputs()
    tensors[0].from_numpy(noise(1, 4))
    for _ in range(2):
        assert run.context.enqueue(tensors, tensors, run.queue).ok()
    assert run.queue.sync().ok()
    (once,) = reference(path, noise(1, 4))
    assert worst([tensors[0].asnumpy()], reference(path, once)) < 1e-5

    other = Running(built(parsed(detector), config()))
    inputs = other.context.create_inputs()
    inputs[1].from_numpy(noise(1, 1, 12, 8))
    status = other.context.enqueue([tensors[0], inputs[1]], [], other.queue)
    assert "found float32 (1, 4)" in status.message


def test_several_contexts_in_several_threads(model: mm.Model, classifier: Path) -> None:
    run = Running(model)
    failures: list[str] = []

    def work(number: int) -> None:
        device = mm.Device()
        device.active()
        queue, context = device.create_queue(), run.engine.create_i_context()
        assert queue is not None
        assert context is not None
        inputs = context.create_inputs()
        for seed in range(number, number + 4):
            outputs: list[mm.Tensor] = []
            inputs[0].from_numpy(noise(*PICTURE, seed=seed))
            if not (context.enqueue(inputs, outputs, queue).ok() and queue.sync().ok()):
                failures.append("status")
            elif worst([outputs[0].asnumpy()], expected[seed]) > 1e-5:
                failures.append(f"seed {seed}")

    expected = [reference(classifier, noise(*PICTURE, seed=seed)) for seed in range(16)]
    threads = [threading.Thread(target=work, args=(4 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
