"""What a configuration makes of a network: precisions, inputs and outputs, open axes; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from programs import Noise, Running, built, config, noise, parsed, reference, worst

import u2forge
import u2forge.magicmind as mm
from u2forge.errors import ModelError

PICTURE = (2, 3, 16, 16)


def not_built(network: mm.Network, settings: mm.BuilderConfig, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    assert mm.Builder().build_model("model", network, settings) is None
    return caplog.text


def test_a_u2net_is_what_build_makes_of_it(tiny_graph: Path, tmp_path: Path) -> None:
    settings = config({"opt_config": {"type64to32_conversion": True}})
    model = built(parsed(tiny_graph, (1, 3, 64, 96)), settings)
    path = tmp_path / "u2net"
    assert model.serialize_to_file(str(path)).ok()
    manifest = u2forge.build(
        tiny_graph, out=tmp_path / "own.onnx", input_height=64, input_width=96, outputs="all"
    )
    assert model.manifest == type(manifest)(**{**vars(manifest), "name": "model"})
    own, ours = onnx.load(tmp_path / "own.onnx"), onnx.load(path)
    assert own.graph == ours.graph


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    # Of the output's largest number. Integers: what rounding leaves of a net of three layers, with room.
    [("force_float16", 2e-2), ("qint8_mixed_float32", 5e-2), ("qint16_mixed_float16", 2e-2)],
)
def test_precisions_of_another_network(classifier: Path, precision: str, tolerance: float) -> None:
    data = [Noise(PICTURE)] if precision.startswith("qint") else []
    model = built(parsed(classifier, PICTURE), config(precision=precision), *data)
    picture = noise(*PICTURE)
    assert worst(Running(model)(picture), reference(classifier, picture)) < tolerance
    record = model.manifest.quantization
    assert (record is not None) == bool(data)
    if record is not None:
        assert (record.accuracy, record.equalize, record.algorithm) == (None, 0.0, "eqnm")


def test_int8_really_runs_in_integers(classifier: Path) -> None:
    pytest.importorskip("openvino")
    model = built(parsed(classifier, PICTURE), config(precision="qint8_mixed_float32"), Noise(PICTURE))
    assert Running(model).engine.opened.info.precision_counts == {"int8": 3}


def test_layers_that_are_to_stay_in_float(classifier: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = parsed(classifier, PICTURE)
    kept = {"precision_config": {"float_layers": ["depth"]}}
    model = built(network, config(kept, precision="qint8_mixed_float32"), Noise(PICTURE))
    assert model.manifest.quantization is not None
    (layer,) = model.manifest.quantization.float_layers
    assert (layer.name, layer.reason) == ("depth", "it was asked to stay in float")
    wrong = config({"precision_config": {"float_layers": ["deep"]}}, precision="qint8_mixed_float32")
    assert "found 'deep'" in not_built(network, wrong, caplog)


def test_given_ranges_take_the_place_of_calibration(
    classifier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = parsed(classifier, PICTURE)
    ranges: dict[str, Any] = {"picture": [-4, 4], "clipped": {"min": 0, "max": 6}, "depth": [-6, 6]}
    model = built(network, config({"custom_ranges": ranges}, precision="qint8_mixed_float32"))
    picture = noise(*PICTURE)
    assert worst(Running(model)(picture), reference(classifier, picture)) < 0.1
    del ranges["depth"]
    some = config({"custom_ranges": ranges}, precision="qint8_mixed_float32")
    assert "a range for each of the 3 activations" in not_built(network, some, caplog)
    assert mm.Calibrator([Noise(PICTURE)]).calibrate(network, some).ok()
    assert mm.Builder().build_model("model", network, some) is not None
    wrong = config({"custom_ranges": {"pictures": [0, 1]}}, precision="qint8_mixed_float32")
    assert "did you mean 'picture'" in not_built(network, wrong, caplog)


def test_granularity_and_scheme_are_honoured(classifier: Path, tmp_path: Path) -> None:
    coarse = {"weight_quant_granularity": "per_tensor", "activation_quant_algo": "symmetric"}
    settings = config({"precision_config": coarse}, precision="qint8_mixed_float32")
    model = built(parsed(classifier, PICTURE), settings, Noise(PICTURE), algorithm="LINEAR_ALGORITHM")
    record = model.manifest.quantization
    assert record is not None
    assert (record.weight_granularity, record.activations, record.algorithm) == (
        "per_tensor",
        "symmetric",
        "linear",
    )
    model.serialize_to_file(tmp_path / "coarse")
    scales = {
        t.name: t.dims for t in onnx.load(tmp_path / "coarse").graph.initializer if t.name.endswith(".scale")
    }
    assert scales
    assert all(not dims for dims in scales.values())


@pytest.mark.parametrize("precision", ["force_float32", "qint8_mixed_float32"])
def test_pictures_of_8_bits_in_another_layout_and_order(classifier: Path, precision: str) -> None:
    """Behind the transposition, channels are reversed; the mean right before the network is of its own channels."""
    mean, variance = np.array([100, 110, 120]), np.array([2500, 2601, 2704])
    settings = config(
        {"insert_bn_before_firstnode": {"0": {"mean": mean.tolist(), "var": variance.tolist()}}},
        {"rgb2bgr": True, "convert_input_layout": {"picture": {"src": "NCHW", "dst": "NHWC"}}},
        precision=precision,
    )
    data = [Noise((2, 16, 16, 3), data_type=mm.DataType.UINT8)] if precision.startswith("qint") else []
    model = built(parsed(classifier, PICTURE), settings, *data)
    assert model.get_input_dimensions() == [mm.Dims((2, 16, 16, 3))]
    assert model.get_input_data_types() == [mm.DataType.UINT8]
    assert model.manifest.inputs[0].layout == "NHWC"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    inner = ((pixels[..., ::-1] - mean) / np.sqrt(variance)).transpose(0, 3, 1, 2).astype(np.float32)
    tolerance = 1e-5 if precision == "force_float32" else 0.06
    assert worst(Running(model)(pixels), reference(classifier, inner)) < tolerance


def test_outputs_in_another_layout_and_type(detector: Path) -> None:
    network = parsed(detector)
    assert network.get_input(0).set_data_type(mm.DataType.FLOAT16).ok()
    assert network.get_output(1).set_data_type(mm.DataType.FLOAT16).ok()
    model = built(
        network,
        config(
            {"convert_output_layout": {"scores": {"src": "NCHW", "dst": "NHWC"}}},
            {"opt_config": {"type64to32_conversion": True}},
        ),
    )
    kinds = mm.DataType
    assert model.get_input_data_types() == [kinds.FLOAT16, kinds.FLOAT32]
    assert model.get_output_data_types() == [kinds.FLOAT32, kinds.FLOAT16, kinds.INT32]
    arrays = noise(1, 3, 12, 8).astype(np.float16), noise(1, 1, 12, 8, seed=6)
    scores, features, classes = reference(detector, arrays[0].astype(np.float32), arrays[1])
    found = Running(model)(*arrays)
    assert worst([found[0], found[2]], [scores.transpose(0, 2, 3, 1), classes]) < 1e-5
    assert worst([found[1]], [features]) < 1e-3


@pytest.mark.parametrize("folded", [True, False])
def test_batch_norms_are_folded_or_left(classifier: Path, tmp_path: Path, folded: bool) -> None:
    model = built(parsed(classifier, PICTURE), config({"opt_config": {"conv_scale_fold": folded}}))
    model.serialize_to_file(tmp_path / "model")
    operators = [node.op_type for node in onnx.load(tmp_path / "model").graph.node]
    assert ("BatchNormalization" in operators) != folded


def test_a_batch_that_stays_open(classifier: Path) -> None:
    limits = {"0": {"min": [1, 3, 16, 16], "max": [4, 3, 16, 16]}}
    model = built(
        parsed(classifier, (1, 3, 16, 16)), config({"graph_shape_mutable": True, "dim_range": limits})
    )
    assert model.get_input_dimensions() == [mm.Dims((-1, 3, 16, 16))]
    assert model.get_output_dimensions() == [mm.Dims((-1, 10))]
    run = Running(model)
    for batch in (1, 3, 4):
        picture = noise(batch, 3, 16, 16)
        assert worst(run(picture), reference(classifier, picture)) < 1e-5
    inputs = run.context.create_inputs()
    assert inputs[0].from_numpy(noise(5, 3, 16, 16)).ok()
    status = run.context.enqueue(inputs, [], run.queue)
    assert "sizes from (1, 3, 16, 16) to (4, 3, 16, 16), as dim_range said; found (5, 3" in status.message
    without = built(parsed(classifier, (1, 3, 16, 16)), config({"graph_shape_mutable": True}))
    assert without.get_input_dimensions() == [mm.Dims((-1, 3, 16, 16))]


def test_a_u2net_with_inputs_of_its_own_is_none_that_infer_can_feed(tiny_graph: Path, tmp_path: Path) -> None:
    means = {"image": {"mean": [124, 116, 104], "var": [3409, 3260, 3296]}}
    network = parsed(tiny_graph, (1, 3, 64, 96))
    model = built(network, config({"insert_bn_before_firstnode": means}))
    assert (model.manifest.architecture, model.manifest.interface) == ("u2net_custom", "tensors")
    path = tmp_path / "u2net"
    model.serialize_to_file(path)
    with pytest.raises(ModelError, match="nothing says what a picture means to it"):
        u2forge.open_segmenter(path)


def test_a_u2net_has_the_layout_that_it_has(tiny_graph: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = parsed(tiny_graph, (1, 3, 64, 96))
    turned = config({"convert_output_layout": {"0": {"src": "NHWC", "dst": "NCHW"}}})
    assert "src NCHW, which a U²-Net has; found src NHWC, dst NCHW" in not_built(network, turned, caplog)


def test_what_cannot_be_built_says_why(classifier: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = parsed(classifier)
    assert "FAILED_PRECONDITION" in not_built(mm.Network(), config(), caplog)
    assert "with open axes. To mend: call set_dimension" in not_built(network, config(), caplog)
    network = parsed(classifier, PICTURE)
    int8 = config(precision="qint8_mixed_float32")
    assert "calibrated for 8 bits, or custom_ranges; found one that was not" in not_built(
        network, int8, caplog
    )
    assert mm.Calibrator([Noise(PICTURE)]).calibrate(network, config(precision="qint16_mixed_float32")).ok()
    assert "found one that was calibrated for 16 bits" in not_built(network, int8, caplog)
    unfolded = config({"opt_config": {"conv_scale_fold": False}}, precision="qint16_mixed_float32")
    assert "UNIMPLEMENTED" in not_built(network, unfolded, caplog)
    closed = config(
        {"graph_shape_mutable": False}, {"dim_range": {"0": {"min": [1, 3, 16, 16], "max": [2, 3, 16, 16]}}}
    )
    assert "graph_shape_mutable true beside a dim_range" in not_built(network, closed, caplog)
    short = config({"dim_range": {"0": {"min": [1], "max": [2]}}})
    assert "expected 4 sizes" in not_built(network, short, caplog)
    elsewhere = config({"rgb2bgr": {"1": True}})
    assert "the number or name of one of picture" in not_built(network, elsewhere, caplog)
    means = config({"insert_bn_before_firstnode": {"0": {"mean": [1], "var": [1]}}})
    assert "for each of its 3 channels" in not_built(network, means, caplog)
    kept = config({"precision_config": {"float_layers": ["stem"]}})
    assert mm.Builder().build_model("model", network, kept) is not None
    assert "float_layers has no effect: nothing is quantized in force_float32" in caplog.text
    assert "a name, a Network and a BuilderConfig" in not_built(network, None, caplog)  # type: ignore[arg-type]
