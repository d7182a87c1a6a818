"""Untrusted ONNX files: broken, cut short, lying about their data, or reaching out of their folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from u2forge.errors import InputError, ModelError
from u2forge.graph.read_onnx import read_onnx

WEIGHTS = np.arange(6, dtype=np.float32)


def proto() -> onnx.ModelProto:
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[6] x) => (float[6] y) { y = Add(x, w) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHTS, "w"))
    return model


def external(folder: Path, location: str, **place: int) -> Path:
    model = proto()
    set_external_data(model.graph.initializer[0], location, **place)
    model.graph.initializer[0].ClearField("raw_data")
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_onnx(path)
    return str(caught.value)


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    model = read_onnx(saved(tmp_path, proto()))
    assert np.array_equal(model.graph.initializers["w"].const_value.numpy(), WEIGHTS)  # type: ignore[union-attr]


def test_initializers_are_not_inputs(tmp_path: Path) -> None:
    model = proto()
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [6]))
    assert [value.name for value in read_onnx(saved(tmp_path, model)).graph.inputs] == ["x"]


def test_external_data_beside_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0" * 8 + WEIGHTS.tobytes())
    model = read_onnx(external(tmp_path, "data.bin", offset=8, length=24))
    (tmp_path / "data.bin").unlink()
    assert np.array_equal(model.graph.initializers["w"].const_value.numpy(), WEIGHTS)  # type: ignore[union-attr]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "", "."])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    message = refusal(external(folder, location))
    assert f"external data inside the model's own folder; found the location {location!r}" in message


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "data.bin").symlink_to(tmp_path / "secret.bin")
    assert "inside the model's own folder" in refusal(external(folder, "data.bin"))


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    message = refusal(external(tmp_path, "data.bin"))
    assert "tensor 'w': expected the file 'data.bin' beside the model; found no such file" in message


@pytest.mark.parametrize("place", [{"offset": 1}, {"offset": 10**18}, {"offset": -4}, {"length": 10**15}])
def test_external_data_that_is_too_short_is_refused(tmp_path: Path, place: dict[str, int]) -> None:
    (tmp_path / "data.bin").write_bytes(WEIGHTS.tobytes())
    assert "tensor 'w': expected 24 bytes in data.bin" in refusal(external(tmp_path, "data.bin", **place))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"GIF89a" + b"\xff" * 50, "something else"),
        (b"just text\n", "something else"),
    ],
)
def test_what_is_not_onnx_is_refused(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    message = refusal(path)
    assert "expected an ONNX model" in message
    assert found in message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = saved(tmp_path, proto())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refusal(path)


def test_data_that_does_not_fill_its_dimensions_is_refused(tmp_path: Path) -> None:
    model = proto()
    model.graph.initializer[0].raw_data = WEIGHTS[:5].tobytes()
    message = refusal(saved(tmp_path, model))
    assert "tensor 'w': expected 24 bytes, for dimensions [6]; found 20" in message


@pytest.mark.parametrize("dims", [[2**40, 2**40], [-6], [7]])
def test_lying_dimensions_are_refused(tmp_path: Path, dims: list[int]) -> None:
    model = proto()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    assert "tensor 'w': expected" in refusal(saved(tmp_path, model))


def test_elements_that_are_not_raw_are_counted_too(tmp_path: Path) -> None:
    model = proto()
    model.graph.initializer[0].CopyFrom(
        onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[6], float_data=[1.0, 2.0])
    )
    assert "expected 6 elements, for dimensions [6]; found 2" in refusal(saved(tmp_path, model))


def test_an_invalid_graph_is_refused(tmp_path: Path) -> None:
    model = proto()
    model.graph.node[0].input[0] = "nowhere"
    message = refusal(saved(tmp_path, model))
    assert "expected a valid ONNX model; found one that the ONNX checker refuses: " in message
    assert "nowhere" in message


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file that can be read; found No such file"):
        read_onnx(tmp_path / "net.onnx")


def test_random_corruptions_never_raise_anything_else(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    good = proto().SerializeToString()
    path = tmp_path / "net.onnx"
    for _ in range(300):
        data = np.frombuffer(good, np.uint8).copy()
        data[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        try:
            read_onnx(path)
        except ModelError:
            continue


def test_absurd_dimensions_beside_a_zero_are_refused(tmp_path: Path) -> None:
    tensor = onnx.TensorProto(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=[0, 10**18, 10**18], raw_data=b""
    )
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [value], [result], [tensor])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="dimensions"):
        read_onnx(tmp_path / "net.onnx")


def test_an_attribute_that_is_no_text_is_refused(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 18]> g (float[1, 1, 2, 2] x) => (float[1, 1, 2, 2] y)
        { y = AveragePool <kernel_shape = [1, 1], auto_pad = "VALID"> (x) }"""
    model = onnx.parser.parse_model(text)
    next(one for one in model.graph.node[0].attribute if one.name == "auto_pad").s = b"VAL\xac\xff"
    assert "attribute 'auto_pad'" in refusal(saved(tmp_path, model))
