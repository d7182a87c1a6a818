"""build --target mlu370 against a recorded double of Cambricon's SDK: calls, configuration, calibration, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import u2forge
from u2forge.engine.magicmind_calibration import batches
from u2forge.errors import EngineError, InputError, MissingDependencyError, ModelError, OutputError
from u2forge.model_file.read import open_model_file, read_manifest
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture

SIZE = {"input_height": 32, "input_width": 48}
INT8 = "qint8_mixed_float16"


def build(checkpoint: Path, out: Path, **options: Any) -> u2forge.Manifest:
    return u2forge.build(checkpoint, out=out, target="mlu370", **{**SIZE, **options})


def build_int8(checkpoint: Path, out: Path, photos: Path, **options: Any) -> u2forge.Manifest:
    given = {"precision": INT8, "calibration": photos, "max_loss": None, **options}
    return build(checkpoint, out, **given)


def config_of(double: Any) -> dict[str, Any]:
    ((config,),) = double.of("parse_from_string")
    found: dict[str, Any] = config
    return found


def test_a_float_model_takes_the_sdks_steps_in_order(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.mm"
    manifest = build(tiny_checkpoint, out)
    assert magicmind_double.names() == [
        "Network",
        "Parser",
        "parse",
        "set_data_type",
        "set_dimension",
        "parse_from_string",
        "build_model",
        "serialize_to_file",
    ]
    assert magicmind_double.of("Parser") == [("kOnnx",)]
    assert magicmind_double.of("set_data_type") == [("image", "FLOAT32"), ("d0", "FLOAT32")]
    assert magicmind_double.of("set_dimension") == [("image", [1, 3, 32, 48])]
    assert config_of(magicmind_double) == {
        "archs": [{"mtp_372": [6, 8]}],
        "precision_config": {"precision_mode": "force_float32"},
        "opt_config": {"type64to32_conversion": True, "conv_scale_fold": True},
        "graph_shape_mutable": False,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.mm", "tiny.mm.u2forge.json"]
    assert open_model_file(out).manifest == read_manifest(out) == manifest
    assert manifest.target == "mlu370"
    assert manifest.tools["magicmind"] == "of unknown version"


def test_it_is_said_that_no_hardware_was_seen(
    magicmind_double: Any, tiny_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    def said(*words: str) -> str:
        program = [sys.executable, "-m", "u2forge.cli.main", *words]
        return subprocess.run(program, capture_output=True, text=True, check=True, timeout=120).stderr

    out = str(tmp_path / "tiny.mm")
    size = ["--input-height", "32", "--input-width", "48"]
    assert "not verified on hardware" in said(
        "build", str(tiny_checkpoint), "-o", out, "--target", "mlu370", *size
    )
    words = said("infer", str(photos / "a.png"), "-o", str(tmp_path / "a.png"), "--model", out)
    assert "not verified on hardware" in words


def test_a_dynamic_batch_is_a_range_of_shapes(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    manifest = build(tiny_checkpoint, tmp_path / "tiny.mm", batch_size="dynamic", outputs="all")
    config = config_of(magicmind_double)
    assert config["graph_shape_mutable"] is True
    assert config["dim_range"] == {"0": {"min": [1, 3, 32, 48], "max": [64, 3, 32, 48]}}
    assert magicmind_double.of("set_dimension") == [("image", [-1, 3, 32, 48])]
    assert [spec.name for spec in manifest.outputs] == [f"d{index}" for index in range(7)]


def test_embedded_preprocessing_is_the_sdks_own(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = build(
        tiny_checkpoint, tmp_path / "tiny.mm", embed_preprocessing=True, precision="force_float16"
    )
    config = config_of(magicmind_double)
    statistics = config["insert_bn_before_firstnode"]["0"]
    np.testing.assert_allclose(statistics["mean"], [123.675, 116.28, 103.53])
    np.testing.assert_allclose(np.sqrt(statistics["var"]), [58.395, 57.12, 57.375])
    assert config["convert_input_layout"] == {"0": {"src": "NCHW", "dst": "NHWC"}}
    assert config["precision_config"] == {"precision_mode": "force_float16"}
    assert magicmind_double.of("set_data_type")[0] == ("image", "UINT8")
    assert str(manifest.inputs[0]) == "uint8 (1, 32, 48, 3) NHWC"
    assert "divided by 255" in caplog.text


def test_the_calibrator_sees_every_picture_as_infer_prepares_it(
    magicmind_double: Any,
    tiny_checkpoint: Path,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "tiny.mm"
    manifest = build_int8(
        tiny_checkpoint,
        out,
        photos,
        algorithm="linear",
        activations="symmetric",
        weight_granularity="per_tensor",
        device="mlu:1",
    )
    assert magicmind_double.names() == [
        *("System", "~System"),  # is the device there?
        *("Network", "Parser", "parse", "set_data_type", "set_dimension", "parse_from_string"),
        *("System", "active", "Calibrator", "set_quantization_algorithm", "calibrate", "sample"),
        *("build_model", "serialize_to_file", "~System"),
    ]
    assert magicmind_double.of("active") == [(1,)]
    assert magicmind_double.of("set_quantization_algorithm") == [("LINEAR_ALGORITHM",)]
    assert config_of(magicmind_double)["precision_config"] == {
        "precision_mode": INT8,
        "weight_quant_granularity": "per_tensor",
        "activation_quant_algo": "symmetric",
    }
    samples = magicmind_double.of("sample")
    assert [kind for kind, _ in samples] == ["FLOAT32"] * 10, "five pictures, in two passes"
    picture = read_picture(photos / "a.png").rgb
    wanted = preprocess(picture, height=32, width=48, profile="official")
    assert any(np.array_equal(sample[0], wanted) for _, sample in samples)
    record = manifest.quantization
    assert record is not None
    assert (record.bits, record.weight_bits, record.equalize, record.bias_correction) == (8, 8, 0.0, False)
    assert (record.calibration.count, record.accuracy) == (5, None)
    assert "without equalization of channels, bias correction, weights of 7 bits" in caplog.text
    assert magicmind_double.systems == 0
    assert open_model_file(out).manifest == manifest


def test_batches_are_filled_up_and_random_pictures_serve(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {
        "calibration": "random",
        "calibration_count": 3,
        "batch_size": 2,
        "precision": "qint16_mixed_float32",
    }
    plain = {"equalize": 0, "bias_correction": False}
    manifest = build_int8(tiny_checkpoint, tmp_path / "tiny.mm", Path(), **options, **plain)
    first, second = (sample for _, sample in magicmind_double.of("sample")[:2])
    assert first.shape == second.shape == (2, 3, 32, 48)
    assert np.array_equal(second[0], second[1])
    assert magicmind_double.of("set_quantization_algorithm") == [("EQNM_ALGORITHM",)]
    assert manifest.quantization is not None
    assert (manifest.quantization.calibration.source, manifest.quantization.bits) == ("random", 16)
    assert "quantizes by itself" not in caplog.text


def test_a_long_last_batch_goes_round() -> None:
    found = list(batches(iter(np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)), 3))
    assert [batch.ravel().tolist() for batch in found] == [[0, 1, 2], [3, 4, 3]]


@pytest.mark.parametrize(
    "name", ["parse", "set_data_type", "set_dimension", "parse_from_string", "build_model"]
)
def test_a_failing_step_is_an_error_with_the_sdks_words(
    name: str, magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    magicmind_double.failing[name] = "no kernel for Frobnicate"
    words = "found None" if name == "build_model" else r"found \[INTERNAL\] no kernel for Frobnicate"
    with pytest.raises(EngineError, match=rf"MagicMind SDK, .*{name}.*{words}") as caught:
        build(tiny_checkpoint, tmp_path / "tiny.mm")
    assert "To mend" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["set_quantization_algorithm", "calibrate", "active"])
def test_a_failing_calibration_leaves_nothing_behind(
    name: str, magicmind_double: Any, tiny_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    magicmind_double.failing[name] = "out of range"
    with pytest.raises(EngineError, match=r"found \[INTERNAL\] out of range"):
        build_int8(tiny_checkpoint, tmp_path / "tiny.mm", photos)
    assert list(tmp_path.iterdir()) == []
    assert magicmind_double.systems == 0


def test_a_file_that_is_not_written_whole_is_not_there(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.mm"
    build(tiny_checkpoint, out)
    before = out.read_bytes()
    magicmind_double.failing["serialize_to_file"] = "disk full"
    with pytest.raises(EngineError, match="disk full"):
        build(tiny_checkpoint, out, precision="force_float16")
    assert out.read_bytes() == before
    assert open_model_file(out).manifest.precision == "force_float32"
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OutputError, match="writable folder"):
        build(tiny_checkpoint, out / "below.mm")


def test_pictures_that_cannot_be_read_are_told_through_the_sdk(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="calibration pictures: expected at least one"):
        build_int8(tiny_checkpoint, tmp_path / "tiny.mm", folder)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("u2forge.verbs.calibration_data.read_picture", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_int8(tiny_checkpoint, tmp_path / "tiny.mm", folder)
    assert magicmind_double.systems == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_loss": 0.002}, r"'max_loss' .* the gate does not run .* add --max-loss none"),
        ({"algorithm": "entropy"}, "'algorithm' .*expected linear or eqnm; found entropy"),
        ({"equalize": 0.7}, "'equalize' .*expected 0; found 0.7"),
        ({"threads": 2}, "'threads'"),
        ({"check": "photos"}, "'check' .*the accuracy gate does not run"),
        ({"report": "page.html"}, "'report' .*ranked by running portable"),
        ({"engine": "openvino"}, "'engine' .*expected auto or magicmind"),
        ({"embed_preprocessing": True}, "'embed_preprocessing' .*is not documented"),
        ({"ranges": True}, "custom_ranges is not documented"),
        ({"device": "gpu"}, "expected auto, mlu or mlu:NUMBER; found an unknown name"),
    ],
)
def test_what_the_sdk_cannot_take_is_refused_before_anything_is_read(
    options: dict[str, Any],
    words: str,
    magicmind_double: Any,
    tiny_checkpoint: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    if options.pop("ranges", False):
        ranges = tmp_path / "ranges.json"
        ranges.write_text(json.dumps({"image": [-2.0, 2.0]}))
        options["calibration"] = ranges
    with pytest.raises(InputError, match=words):
        build_int8(tmp_path / "no checkpoint", tmp_path / "tiny.mm", photos, **options)
    assert "parse" not in magicmind_double.names()


def test_a_device_that_is_not_there(magicmind_double: Any, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"device 'mlu:7': expected one of mlu:0, mlu:1; found no such"):
        build_int8(tmp_path / "no checkpoint", tmp_path / "tiny.mm", photos, device="mlu:7")


def test_without_the_sdk_it_is_said_how_to_get_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"To mend: install Cambricon's MagicMind SDK") as caught:
        build(tiny_checkpoint, tmp_path / "tiny.mm")
    assert "not on the package index" in str(caught.value)
    assert "pip" not in str(caught.value)
    assert not [name for name in sys.modules if name.partition(".")[0] == "magicmind"]


def test_a_portable_model_of_that_name_takes_the_manifest_away(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.mm"
    build(tiny_checkpoint, out)
    u2forge.build(tiny_checkpoint, out=out, **SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.mm"]
    assert open_model_file(out).manifest.target == "portable"


def test_inspect_says_what_it_cannot_look_into(
    magicmind_double: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.mm"
    build(tiny_checkpoint, out)
    with pytest.raises(InputError, match=r"only its own SDK reads.*tiny\.mm\.u2forge\.json"):
        u2forge.inspect(out)
    out.write_bytes(out.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="damaged"):
        u2forge.inspect(out)
