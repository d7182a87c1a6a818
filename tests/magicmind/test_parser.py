"""Files become networks, or a Status says why not; U²-Nets are recognised and never run."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import foreign_networks
import pytest
from programs import parsed

import u2forge.magicmind as mm
from u2forge.errors import InputError


def refused(kind: mm.ModelKind, *files: Path) -> mm.Status:
    network = mm.Network()
    status = mm.Parser(kind).parse(network, *files)
    assert not status.ok()
    assert network.get_input_count() == 0
    return status


def test_a_u2net_is_recognised_by_its_weights(tiny_graph: Path) -> None:
    network = parsed(tiny_graph, (2, 3, 64, 96))
    assert network.parsed.is_u2net
    assert (network.get_input_count(), network.get_output_count()) == (1, 7)
    assert network.get_output(0).get_dimension() == (2, 1, 64, 96)


def test_another_network_is_taken_as_it_is(classifier: Path, detector: Path) -> None:
    network = parsed(classifier)
    assert network.parsed.architecture == "foreign"
    assert network.get_input(0).get_dimension() == (-1, 3, 16, 16)
    assert network.get_input(0).get_data_type() is mm.DataType.FLOAT32
    network = parsed(detector)
    assert [network.get_output(i).get_name() for i in range(3)] == ["scores", "features", "classes"]
    assert network.get_output(2).get_data_type() is mm.DataType.INT64
    assert network.get_output(1).get_dimension() == (1, 4, 6, 4)


def test_older_operator_sets_are_raised(tmp_path: Path) -> None:
    old = parsed(foreign_networks.classifier(tmp_path / "old.onnx", opset=11), (1, 3, 16, 16))
    assert old.get_output(0).get_dimension() == (1, 10)


@pytest.mark.needs_torch
def test_a_torchscript_network_is_run_once_its_sizes_are_known(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = foreign_networks.traced(tmp_path / "small.pt")
    parser = mm.Parser(mm.ModelKind.kPytorch)
    assert parser.set_model_param("pytorch-input-dtypes", [mm.DataType.FLOAT32] * 2).ok()
    network = mm.Network()
    assert parser.parse(network, str(path)).ok()
    assert [network.get_input(i).get_name() for i in range(2)] == ["picture", "prior"]
    assert (network.get_output_count(), network.get_output(1).get_dimension()) == (2, ())
    network.get_input(0).set_dimension(mm.Dims((3, 3, 8, 12)))
    network.get_input(1).set_dimension(mm.Dims((3, 8, 8, 12)))
    assert network.get_output(1).get_dimension() == (3, 8, 8, 12)
    assert parser.set_model_param("pytorch-input-dtypes", [mm.DataType.FLOAT32]).ok()
    status = parser.parse(mm.Network(), str(path))
    assert "expected 2, one for each of picture, prior; found 1" in status.message


@pytest.mark.needs_torch
def test_an_outputs_type_is_known_once_the_sizes_are(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Classes(torch.nn.Module):  # type: ignore[misc]
        def forward(self, scores: Any) -> Any:
            return scores.argmax(1)

    path = tmp_path / "classes.pt"
    torch.jit.trace(Classes().eval(), torch.zeros(1, 3, 4, 4)).save(str(path))
    network = parsed(path, kind=mm.ModelKind.kPytorch)
    with pytest.raises(InputError, match="sizes of all inputs, which this output's type is found with"):
        network.get_output(0).get_data_type()
    network.get_input(0).set_dimension(mm.Dims((1, 3, 4, 4)))
    assert network.get_output(0).get_data_type() is mm.DataType.INT64


@pytest.mark.needs_torch
def test_a_u2net_in_torchscript_is_built_from_its_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from torch_u2net import U2NET

    torch.manual_seed(0)
    model = U2NET(mids=(2,) * 11, outs=(3,) * 11).eval()
    path = tmp_path / "u2net.pt"
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32), check_trace=False).save(str(path))
    monkeypatch.setattr(torch.onnx, "export", None)
    # Also at another size than the traced one.
    network = parsed(path, (2, 3, 64, 96), kind=mm.ModelKind.kPytorch)
    assert network.parsed.is_u2net
    assert network.get_output(0).get_dimension() == (2, 1, 64, 96)


def test_what_cannot_be_parsed_says_why(tmp_path: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk" * 100)
    status = refused(mm.ModelKind.kOnnx, tmp_path / "none.onnx")
    assert status.code is mm.Code.NOT_FOUND
    assert "no such file. To mend: check the path" in status.message
    assert refused(mm.ModelKind.kOnnx, tmp_path / ("x" * 300)).code is mm.Code.NOT_FOUND
    assert refused(mm.ModelKind.kOnnx, junk).code is mm.Code.DATA_LOSS
    assert "expected one file; found 2" in refused(mm.ModelKind.kOnnx, junk, junk).message
    caffe = refused(mm.ModelKind.kCaffe, junk, junk)
    assert caffe.code is mm.Code.UNIMPLEMENTED
    assert "parse that with ModelKind.kOnnx" in caffe.message


def test_tensorflow_without_a_converter_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status = refused(mm.ModelKind.kTensorflow, tmp_path)
    assert status.code is mm.Code.UNAVAILABLE
    assert "pip install tf2onnx tensorflow" in status.message


def test_tensorflow_with_a_converter(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double of tf2onnx: it is called as its documentation says, and its result is parsed."""
    folder = tmp_path / "packages" / "tf2onnx"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    program = f"""
        import shutil, sys
        words = sys.argv[1:]
        assert words[:2] == ["--graphdef", {str(tmp_path / "net.pb")!r}], words
        assert words[4:] == ["--inputs", "x:0", "--opset", "18"], words
        shutil.copy({str(classifier)!r}, words[words.index("--output") + 1])
    """
    (folder / "convert.py").write_text(textwrap.dedent(program))
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    (tmp_path / "net.pb").touch()
    parser = mm.Parser(mm.ModelKind.kTensorflow)
    assert parser.set_model_param("tf-inputs", ["x:0"]).ok()
    network = mm.Network()
    status = parser.parse(network, tmp_path / "net.pb")
    assert status.ok(), status
    assert network.get_output(0).get_name() == "logits"


def test_parameters_are_checked() -> None:
    parser = mm.Parser(mm.ModelKind.kPytorch)
    assert (
        "write [mm.DataType.FLOAT32]" in parser.set_model_param("pytorch-input-dtypes", ["float32"]).message
    )
    assert "one of pytorch-input-dtypes" in parser.set_model_param("pytorch-inputs", []).message
    assert (
        "none for ONNX" in mm.Parser(mm.ModelKind.kOnnx).set_model_param("pytorch-input-dtypes", []).message
    )
    with pytest.raises(InputError, match=r"ModelKind\.kPytorch"):
        mm.Parser("onnx")  # type: ignore[arg-type]


def test_tensors_of_a_network_are_checked(classifier: Path) -> None:
    with pytest.raises(IndexError, match="parse a file into it first"):
        mm.Network().get_input(0)
    network = parsed(classifier)
    with pytest.raises(IndexError, match="the last one is 0"):
        network.get_input(1)
    tensor = network.get_input(0)
    assert (
        "3 on the second axis, which the weights are made for"
        in tensor.set_dimension(mm.Dims((1, 4, 16, 16))).message
    )
    assert "expected 4 sizes" in tensor.set_dimension(mm.Dims((1, 3, 16))).message
    assert "sizes of at least 1" in tensor.set_dimension((0, 3, 16, 16)).message  # type: ignore[arg-type]
    assert "whose sizes follow" in network.get_output(0).set_dimension(mm.Dims((1, 10))).message
    assert "choose a qint precision_mode" in tensor.set_data_type(mm.DataType.QINT8).message
    assert tensor.get_dimension() == (-1, 3, 16, 16)
