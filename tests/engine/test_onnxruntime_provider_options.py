"""The options of ONNX Runtime's providers: by precision, GPU and batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from u2forge.engine.onnxruntime_devices import device_of
from u2forge.engine.onnxruntime_provider_options import cache_options, provider_options
from u2forge.engine.probe_model import write_probe_model
from u2forge.model_file.read import ModelFile, open_model_file
from u2forge.precision import PrecisionMode
from u2forge.tensor_spec import TensorSpec


def probe(folder: Path, precision: PrecisionMode) -> ModelFile:
    path = folder / f"{precision}.onnx"
    write_probe_model(path, precision)
    return open_model_file(path)


def with_inputs(model: ModelFile, *shapes: tuple[int | None, ...]) -> ModelFile:
    specs = tuple(TensorSpec(f"x{number}", shape, "float32", "NCHW") for number, shape in enumerate(shapes))
    return replace(model, manifest=replace(model.manifest, inputs=specs))


def test_float32_is_float32_on_cuda(tmp_path: Path) -> None:
    assert provider_options(device_of("cuda:1"), probe(tmp_path, "force_float32")) == {
        "device_id": "1",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }
    assert provider_options(device_of("cuda"), probe(tmp_path, "force_float16"))["use_tf32"] == "1"


@pytest.mark.parametrize(
    ("precision", "half", "int8"),
    [
        ("force_float32", "0", "0"),
        ("force_float16", "1", "0"),
        ("qint8_mixed_float32", "0", "1"),
        ("qint8_mixed_float16", "1", "1"),
    ],
)
def test_the_types_that_tensorrt_may_use(
    tmp_path: Path, precision: PrecisionMode, half: str, int8: str
) -> None:
    options = provider_options(device_of("tensorrt"), probe(tmp_path, precision))
    assert options == {"device_id": "0", "trt_fp16_enable": half, "trt_int8_enable": int8}


def test_an_open_batch_has_a_profile(tmp_path: Path) -> None:
    model = with_inputs(probe(tmp_path, "force_float32"), (None, 3, 320, 320), (1, 4))
    options = provider_options(device_of("tensorrt:1"), model)
    assert options["device_id"] == "1"
    assert {name: value for name, value in options.items() if "profile" in name} == {
        "trt_profile_min_shapes": "x0:1x3x320x320,x1:1x4",
        "trt_profile_opt_shapes": "x0:8x3x320x320,x1:1x4",
        "trt_profile_max_shapes": "x0:32x3x320x320,x1:1x4",
    }


@pytest.mark.parametrize("shape", [(4, 3, 320, 320), (None, 3, None, None)])
def test_no_profile_of_what_is_fixed_or_nobody_says(tmp_path: Path, shape: tuple[int | None, ...]) -> None:
    model = with_inputs(probe(tmp_path, "force_float32"), shape)
    assert not [name for name in provider_options(device_of("tensorrt"), model) if "profile" in name]


def test_other_devices_have_none(tmp_path: Path) -> None:
    model = probe(tmp_path, "force_float32")
    assert provider_options(device_of("cpu"), model) == provider_options(device_of("directml"), model) == {}


def test_what_is_compiled_is_kept(tmp_path: Path) -> None:
    options = cache_options(tmp_path)
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
