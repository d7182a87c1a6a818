"""build in the quantized precisions: what the file says and does, the gate, and calibration that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import u2forge
from u2forge.cli import main as cli
from u2forge.engine.registry import ENGINES
from u2forge.errors import AccuracyError, InputError
from u2forge.graph.architecture import architecture_of, expected_parameters
from u2forge.graph.read_onnx import read_onnx
from u2forge.model_file.read import open_model_file
from u2forge.quantize.native_ranges import METADATA_KEY, read_native_ranges
from u2forge.report.layer_table import QuantizationReport
from u2forge.weights.checkpoint import write_safetensors

SIZE = {"input_height": 32, "input_width": 48}
# Random weights make far noisier maps than trained ones, of few pixels: limits of these tests alone.
LOOSE = {"max_loss": 0.1, "min_iou": 0.2}
INT8 = "qint8_mixed_float32"
# Where it is not about an engine: ONNX Runtime opens a calibration graph in a fraction of OpenVINO's time.
QUICK = {"engine": "onnxruntime"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow U²-Net whose maps reach from 0 to 1, unlike the shared tiny one's."""
    architecture = architecture_of("tiny", mids=(4,) * 11, outs=(8,) * 11)
    generator = np.random.default_rng(7)
    arrays = {}
    for name, shape in expected_parameters(architecture, batch_norm=False).items():
        fan_in = int(np.prod(shape[1:])) or 1
        array = generator.normal(0, (2 / fan_in) ** 0.5 if len(shape) == 4 else 0.1, shape)
        arrays[name] = (array * (8 if name == "outconv.weight" else 1)).astype(np.float32)
    path = tmp_path_factory.mktemp("contrast") / "contrast.safetensors"
    write_safetensors(arrays, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen soft, reddish pictures."""
    folder = tmp_path_factory.mktemp("calibration")
    generator = np.random.default_rng(0)
    for index in range(15):
        coarse = generator.integers(0, 200, (8, 8, 3), np.uint8)
        coarse[..., 0] += 55
        Image.fromarray(coarse).resize((80, 60)).save(folder / f"{index:02}.png")
    return folder


def build(checkpoint: Path, out: Path, pictures: object, **options: object) -> u2forge.Manifest:
    arguments = {"precision": INT8, "calibration": pictures, **SIZE, **LOOSE, **options}
    return u2forge.build(checkpoint, out=out, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(checkpoint: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "int8.onnx"
    build(checkpoint, path, pictures)
    return path


def test_the_manifest_says_how_it_was_quantized_and_what_it_costs(built: Path) -> None:
    record = open_model_file(built).manifest.quantization
    assert record is not None
    assert (record.bits, record.weight_bits) == (8, 7)
    assert (record.calibration.source, record.calibration.count) == ("pictures", 10)
    assert len(record.calibration.sha256) == 64
    assert "outconv" in [layer.name for layer in record.float_layers]
    assert record.accuracy is not None
    assert record.accuracy.pictures == 5
    assert 0 < record.accuracy.mean_difference <= 0.1
    assert record.accuracy.executed == "int8"


def test_inspect_tells_it(built: Path) -> None:
    text = str(u2forge.inspect(built))
    assert (
        "quantized: activations of 8 bits, weights of 7 (per_channel), eqnm; calibrated with 10 pictures"
        in text
    )
    assert "in float: outconv, as it fuses logits: sums" in text
    assert "accuracy: mean map difference" in text


def test_it_is_one_standard_file_of_integers(built: Path) -> None:
    model = onnx.load(built)
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert onnx.TensorProto.INT8 in kinds
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}


def test_the_same_bytes_each_time(built: Path, checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    build(checkpoint, tmp_path / "again.onnx", pictures)
    assert (tmp_path / "again.onnx").read_bytes() == built.read_bytes()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_both_engines_run_it_in_integers(built: Path, pictures: Path, engine: str) -> None:
    with u2forge.open_segmenter(built, engine=engine) as segmenter:
        assert segmenter.engine.info.precision_counts["int8"] > 0
        assert segmenter.segment(u2forge.read_picture(pictures / "00.png")).mask.shape == (60, 80)


def test_a_list_file_calibrates_too(built: Path, checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    listed = tmp_path / "file_list.txt"
    listed.write_text("\n".join(str(path) for path in sorted(pictures.iterdir())))
    manifest = build(checkpoint, tmp_path / "model.onnx", listed)
    assert manifest.quantization == open_model_file(built).manifest.quantization


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "qint8_mixed_float16", "batch_size": "dynamic", "outputs": "all"},
        {"embed_preprocessing": True, "batch_size": 2, "activations": "symmetric", "algorithm": "percentile"},
    ],
)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_variants_run_on_both_engines(
    options: dict[str, object], engine: str, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    manifest = build(checkpoint, path, pictures, engine=engine, **options)
    assert manifest.quantization is not None
    assert manifest.quantization.accuracy is not None
    assert manifest.quantization.accuracy.engine.startswith(engine)
    with u2forge.open_segmenter(path, engine=engine) as segmenter:
        found = segmenter.segment_batch(
            [u2forge.read_picture(path) for path in sorted(pictures.iterdir())[:3]]
        )
    assert [one.mask.shape for one in found] == [(60, 80)] * 3


def test_16_bits_lose_next_to_nothing_and_carry_native_ranges(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "int16.onnx"
    int16 = {"precision": "qint16_mixed_float32", "engine": "onnxruntime", "max_loss": 0.002}
    manifest = build(checkpoint, path, pictures, **int16)
    assert manifest.quantization is not None
    accuracy = manifest.quantization.accuracy
    assert accuracy is not None
    # 65,535 levels for twice the range: 128 times finer than with 8 bits, whose loss here is about 0.01.
    assert accuracy.mean_difference < 2e-4
    assert accuracy.engine.startswith("onnxruntime")
    model = read_onnx(path)
    assert model.metadata_props[METADATA_KEY]
    ranges = read_native_ranges(model)
    assert len(ranges.tile_maximum["stage1.rebnconv1.conv_s1"]) == 36
    assert set(ranges.pre_activation) >= {"stage1.rebnconvin.conv_s1", "side1"}


def test_16_bits_are_checked_where_they_will_run(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "int16.onnx"
    manifest = build(checkpoint, path, pictures, precision="qint16_mixed_float32")
    assert manifest.quantization is not None
    accuracy = manifest.quantization.accuracy
    assert accuracy is not None
    with u2forge.open_segmenter(path) as segmenter:
        info = segmenter.engine.info
    if not ENGINES["native"].installed:
        assert accuracy.engine.startswith("onnxruntime")
        return
    assert accuracy.engine == f"native {info.version}"
    assert (info.engine, info.precision_executed, accuracy.executed) == ("native", "int16", "int16")
    # 4095 levels in place of 127, of a network whose logits are eight times as steep as they are noisy.
    assert accuracy.mean_difference < 0.004


@pytest.mark.skipif(not ENGINES["native"].installed, reason="the native engine is not built")
def test_where_the_gate_fails_on_the_native_engine_no_layer_stays_in_float(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        AccuracyError, match=r"runs no model with some layers in float.* or --engine onnxruntime"
    ):
        build(
            checkpoint,
            tmp_path / "m.onnx",
            pictures,
            precision="qint16_mixed_float32",
            max_loss=4e-4,
            min_iou=0,
        )


def test_the_gate_of_16_bits_can_fail(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    """OpenVINO leaves 16-bit rounding out and would pass any ranges: the gate runs where they are executed."""
    narrow = tmp_path / "ranges.json"
    narrow.write_text(json.dumps({"stage1.rebnconv1.relu_s1": [0, 0.001]}))
    int16 = {"precision": "qint16_mixed_float32", "max_loss": 0.0005, "min_iou": 0}
    with pytest.raises(AccuracyError, match="ranges are too narrow"):
        build(checkpoint, tmp_path / "model.onnx", [pictures, narrow], **int16)
    with pytest.raises(InputError, match="the gate would check nothing"):
        build(checkpoint, tmp_path / "model.onnx", pictures, engine="openvino", **int16)


def test_where_the_gate_fails_the_fewest_layers_stay_in_float(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    """And the report shows every layer, as table, page and curve. One test: it ranks all the layers."""
    engine = {**QUICK, "min_iou": 0}
    without = build(checkpoint, tmp_path / "without.onnx", pictures, **engine).quantization
    assert without is not None
    assert without.accuracy is not None
    limit = without.accuracy.mean_difference * 0.9
    reports: list[QuantizationReport] = []
    page = tmp_path / "layers.html"
    record = build(
        checkpoint,
        tmp_path / "model.onnx",
        pictures,
        max_loss=limit,
        report=page,
        on_layers=reports.append,
        **engine,
    ).quantization
    assert record is not None
    assert record.accuracy is not None
    assert record.accuracy.mean_difference <= limit
    kept = {layer.name for layer in record.float_layers if layer.reason.startswith("sensitive")}
    assert kept
    (report,) = reports
    assert {row.name for row in report.rows if row.kept_in_float} >= kept
    assert report.curve[0][0] == 0
    assert "gain in float" in str(report)
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    assert all(name in text for name in kept)


def test_a_gate_that_cannot_hold_writes_nothing(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(AccuracyError, match="times the limit of 1e-07"):
        build(checkpoint, tmp_path / "model.onnx", pictures, max_loss=1e-7, **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_black_pictures_are_refused_with_the_cause(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    black = tmp_path / "black"
    black.mkdir()
    for index in range(5):
        Image.new("RGB", (40, 30)).save(black / f"{index}.png")
    with pytest.raises(AccuracyError, match="5 of 5 calibration pictures are of one colour"):
        build(checkpoint, tmp_path / "model.onnx", black, check=pictures, **QUICK)
    assert not (tmp_path / "model.onnx").exists()


def test_ranges_of_a_file_replace_the_calibrated_ones(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    ranges = tmp_path / "ranges.json"
    ranges.write_text(json.dumps({"image": [-300, 300], "stage1.rebnconv1.relu_s1": [0, 2000]}))
    with pytest.raises(AccuracyError, match="ranges are too wide"):
        build(checkpoint, tmp_path / "model.onnx", [pictures, ranges], max_loss=0.002, min_iou=0.95, **QUICK)


def test_random_pictures_calibrate_where_there_are_others_to_check_with(
    checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    manifest = build(
        checkpoint,
        tmp_path / "model.onnx",
        "random:0,255",
        check=pictures,
        calibration_count=4,
        max_loss=1,
        **QUICK,
    )
    assert manifest.quantization is not None
    assert manifest.quantization.calibration.source == "random"


def test_without_a_gate_the_accuracy_is_said_to_be_unknown(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    words = ["build", str(checkpoint), "-o", str(tmp_path / "m.onnx"), "--precision", INT8]
    words += ["--calibration", str(pictures / "00.png"), "--max-loss", "none"]
    assert cli.main([*words, "--input-height", "32", "--input-width", "48"]) == 0
    assert "accuracy unknown" in capsys.readouterr().out


def test_a_report_needs_check_pictures_too(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(
        AccuracyError, match="at least 4 check pictures in which the float model finds something"
    ):
        build(
            checkpoint,
            tmp_path / "m.onnx",
            pictures / "00.png",
            max_loss=None,
            report=tmp_path / "page.html",
            **QUICK,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_broken_picture_is_left_out(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((pictures / "00.png").read_bytes()[:60])
    manifest = build(
        checkpoint, tmp_path / "m.onnx", [pictures, broken], check=pictures / "01.png", max_loss=None, **QUICK
    )
    assert manifest.quantization is not None
    assert manifest.quantization.calibration.count == 14


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calibration": ()}, "found none. To mend: add --calibration FOLDER"),
        ({"calibration": "random:9"}, "write random:0,255"),
        ({"calibration": "missing.json"}, "No such file"),
        ({"weight_bits": 6}, "'weight_bits': expected one of 7, 8; found 6"),
        ({"equalize": 2}, "a number of 0 (off) to 1"),
        ({"max_loss": -1}, "'max_loss': expected a number of 0 to 1; found -1"),
        ({"calibration_count": 0}, "at least 1; found 0"),
        ({"precision": "force_float16"}, "a quantized precision"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, object], words: str, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        build(checkpoint, tmp_path / "model.onnx", pictures, **options)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "found list"),
        ("{", "Expecting property name"),
        ('{"image": [1]}', "'image': [1]"),
        ('{"image": [2, 1]}', "'image': [2.0, 1.0]"),
        ('{"image": [0, NaN]}', "nan"),
        ('{"image": [0, 1' + "0" * 400 + "]}", "'image': [0, 1000"),
        ('{"imagge": [0, 1]}', "did you mean 'image'?"),
        ('{"image": [0, 1]}', "a range for each of the"),
    ],
)
def test_a_broken_file_of_ranges_is_refused(text: str, words: str, checkpoint: Path, tmp_path: Path) -> None:
    ranges = tmp_path / "ranges.json"
    ranges.write_text(text)
    with pytest.raises(InputError) as caught:
        build(checkpoint, tmp_path / "model.onnx", ranges)
    assert words in str(caught.value)


def test_a_name_alone_brings_no_calibration() -> None:
    with pytest.raises(InputError, match="no pictures to calibrate with"):
        u2forge.open_segmenter("u2net", precision=INT8)


def test_too_few_check_pictures_say_nothing(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(
        AccuracyError, match="at least 4 check pictures in which the float model finds something"
    ):
        build(checkpoint, tmp_path / "m.onnx", pictures, check=pictures / "01.png", **QUICK)


def test_a_quantized_file_is_no_float_graph(built: Path, tmp_path: Path) -> None:
    with pytest.raises(u2forge.U2ForgeError) as caught:
        u2forge.build(built, out=tmp_path / "m.onnx", **SIZE)  # type: ignore[arg-type]
    assert "QuantizeLinear" in str(caught.value) or "quantized" in str(caught.value)
