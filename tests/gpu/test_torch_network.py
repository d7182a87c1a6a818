"""Whole graphs on PyTorch: the numbers are ONNX Runtime's and OpenVINO's, in float32, half precision and rounded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from small_model_files import network_proto, picture_batch, rectified_proto  # noqa: E402
from u2forge.engine.protocol import EngineOptions  # noqa: E402
from u2forge.engine.registry import open_engine  # noqa: E402
from u2forge.gpu import convolutions, torch_network  # noqa: E402
from u2forge.gpu.convolutions import Convolver  # noqa: E402
from u2forge.gpu.torch_network import TorchNetwork  # noqa: E402
from u2forge.graph.read_onnx import read_onnx  # noqa: E402
from u2forge.verbs.build import build  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "native"))
from random_graphs import random_operators  # noqa: E402


def outputs(network: TorchNetwork, **inputs: Any) -> dict[str, Any]:
    with torch.inference_mode():
        found = network({name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in found.items()}


def runtime(model: onnx_ir.Model, **inputs: Any) -> dict[str, Any]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    session = onnxruntime.InferenceSession(onnx_ir.serde.serialize_model(model).SerializeToString())
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(seed: int) -> None:
    model = random_operators(seed)
    image = np.random.default_rng(seed).standard_normal((2, 3, 9, 13)).astype(np.float32)
    expected = runtime(model, image=image)
    found = outputs(TorchNetwork(model), image=image)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


@pytest.mark.parametrize("embedded", [False, True])
def test_any_batch_gives_what_single_pictures_give(embedded: bool) -> None:
    proto, inputs, _ = rectified_proto(batch=None, embedded=embedded)
    network = TorchNetwork(onnx_ir.serde.deserialize_model(proto))
    array = picture_batch(inputs[0], batch=3)
    together = outputs(network, **{inputs[0].name: array})["d0"]
    for index in range(3):
        alone = outputs(network, **{inputs[0].name: array[index : index + 1]})["d0"]
        np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-6)


def test_what_is_read_no_more_is_forgotten() -> None:
    proto = network_proto()[0]
    network = TorchNetwork(onnx_ir.serde.deserialize_model(proto))
    forgotten = [position for operation in network.operations for position in operation.forget]
    results = {operation.result for operation in network.operations} - set(network.outputs.values())
    assert results <= set(forgotten)
    assert len(forgotten) == len(set(forgotten))


def test_walking_does_not_change_what_comes_out() -> None:
    proto, inputs, _ = network_proto()
    network = TorchNetwork(onnx_ir.serde.deserialize_model(proto))
    array = picture_batch(inputs[0])
    names = []
    with torch.inference_mode():
        walk = network.walk({"x": torch.from_numpy(array)})
        try:
            while True:
                operation, call = next(walk)
                names.append(operation.operator)
                for _ in range(3):
                    call()
        except StopIteration as end:
            found = end.value["d0"].numpy()
    assert names == ["Conv", "MaxPool", "Conv", "Resize", "Concat", "Conv", "Sigmoid"]
    np.testing.assert_array_equal(found, outputs(network, x=array)["d0"])


@pytest.fixture(scope="module")
def built(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("built")

    def build_one(precision: str, **options: Any) -> Path:
        path = folder / f"{precision}-{len(options)}.onnx"
        if not path.exists():
            if precision.startswith("qint"):
                options |= {
                    "calibration": "random",
                    "calibration_count": 4,
                    "max_loss": None,
                    "weight_bits": 7,
                }
            build(tiny_checkpoint, out=path, precision=precision, input_height=64, input_width=96, **options)
        return path

    return build_one


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["force_float32", "qint16_mixed_float32"])
def test_the_maps_are_the_other_engines(built: Any, precision: str, engine: str) -> None:
    pytest.importorskip(engine, reason=f"needs {engine}")
    path = built(precision, outputs="all")
    other = open_engine(path, engine=engine, options=EngineOptions())
    image = np.random.default_rng(1).standard_normal((1, 3, 64, 96)).astype(np.float32)
    expected = other.run({"image": image})
    other.close()
    found = outputs(TorchNetwork(read_onnx(path)), image=image)
    assert list(found) == list(expected)
    # What differs by 1e-7 may round to another one of 65536 integers, and OpenVINO rounds to none of them.
    mean, worst = (1e-6, 5e-5) if precision == "force_float32" else (3e-4, 1e-2)
    for name, value in expected.items():
        difference = np.abs(found[name] - value)
        assert difference.mean() < mean
        assert difference.max() < worst


@pytest.mark.parametrize(("dtype", "least", "most"), [("float16", 1e-6, 4e-3), ("bfloat16", 1e-4, 4e-2)])
def test_half_precision_rounds_what_is_multiplied(built: Any, dtype: str, least: float, most: float) -> None:
    graph = read_onnx(built("force_float32"))
    image = np.random.default_rng(1).standard_normal((1, 3, 64, 96)).astype(np.float32)
    exact = outputs(TorchNetwork(graph), image=image)["d0"]
    network = TorchNetwork(graph, dtype=getattr(torch, dtype))
    rounded = outputs(network, image=image)["d0"]
    assert rounded.dtype == np.float32
    assert least < np.abs(exact - rounded).mean() < most
    # The convolution of logits alone is the one in float32.
    assert network.precisions() == {getattr(torch, dtype): 118, torch.float32: 1}


@pytest.mark.weights
@pytest.mark.shared
def test_the_official_network_on_real_photos(shared_data: Path, tmp_path: Path) -> None:
    """Found on all 18 photos: float32 1e-7 on average, 1.2e-5 at the worst pixel; float16 0.00013 on average and
    0.00023 on the worst photo, bfloat16 0.0014 and 0.0022."""
    pytest.importorskip("openvino", reason="needs OpenVINO")
    from u2forge.pipeline.preprocess import preprocess
    from u2forge.pipeline.read_picture import read_picture

    path = tmp_path / "u2net.onnx"
    build("u2net", out=path)
    graph = read_onnx(path)
    networks = {
        name: TorchNetwork(graph, dtype=getattr(torch, name)) for name in ("float32", "float16", "bfloat16")
    }
    other = open_engine(path, engine="openvino")
    means: dict[str, list[float]] = {name: [] for name in networks}
    for photo in sorted((shared_data / "golden" / "images").iterdir())[:2]:
        image = preprocess(read_picture(photo).rgb, height=320, width=320, profile="official")[None]
        expected = other.run({"image": image})["d0"]
        for name, network in networks.items():
            difference = np.abs(outputs(network, image=image)["d0"] - expected)
            means[name].append(float(difference.mean()))
            assert name != "float32" or difference.max() < 2e-5
    other.close()
    assert max(means["float32"]) < 1e-6
    assert np.mean(means["float16"]) < 0.001
    assert np.mean(means["bfloat16"]) < 0.002


def test_where_the_library_has_no_kernel_for_both_they_run_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, whose library is asked for each size: of other sizes than was tried it may have none."""
    proto, inputs, _ = rectified_proto()
    model = onnx_ir.serde.deserialize_model(proto)
    array = picture_batch(inputs[0])
    expected = outputs(TorchNetwork(model), **{inputs[0].name: array})
    asked: list[torch.Size] = []

    def has_none(x: Any, *_: Any) -> Any:
        asked.append(x.shape)
        raise error

    monkeypatch.setattr(torch.ops.aten, "cudnn_convolution_relu", has_none)
    joined = Convolver(convolutions._fused, torch.float32, torch.float32)
    monkeypatch.setattr(torch_network, "convolver_for", lambda device, dtype: joined)
    error: Exception = RuntimeError("GET was unable to find an engine to execute this computation")
    found = outputs(TorchNetwork(model), **{inputs[0].name: array})
    assert asked
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)
    # That is for the caller, who can make the batch smaller.
    error = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        outputs(TorchNetwork(model), **{inputs[0].name: array})
