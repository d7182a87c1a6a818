"""8-bit weights need a processor whose integer products do not saturate: others refuse the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from u2forge.engine import integer_products
from u2forge.engine.integer_products import check_integer_products
from u2forge.errors import EngineError
from u2forge.model_file.manifest import Manifest, Origin
from u2forge.model_file.quantization_record import CalibrationRecord, QuantizationRecord
from u2forge.model_file.read import ModelFile
from u2forge.tensor_spec import TensorSpec


def model(*, bits: int | None, weight_bits: int = 8) -> ModelFile:
    spec = TensorSpec("image", (1, 3, 32, 32), "float32", "NCHW")
    record = QuantizationRecord(
        bits=bits or 8,
        weight_bits=weight_bits,
        algorithm="eqnm",
        weight_granularity="per_channel",
        activations="asymmetric",
        equalize=0.5,
        bias_correction=True,
        calibration=CalibrationRecord("pictures", 1, ""),
        float_layers=(),
        accuracy=None,
    )
    manifest = Manifest(
        name="net",
        architecture="u2net",
        precision="force_float32" if bits is None else "qint8_mixed_float32",
        origin=Origin("", "onnx", ""),
        inputs=(spec,),
        outputs=(spec,),
        pre="official",
        post="stretch",
        embedded_preprocessing=False,
        tools={},
        quantization=None if bits is None else record,
    )
    return ModelFile(Path("model.onnx"), manifest, "")


def test_a_processor_without_vnni_refuses_weights_of_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_products, "has_vnni", lambda: False)
    with pytest.raises(EngineError, match="its sums of products would saturate"):
        check_integer_products(model(bits=8), engine="openvino")


@pytest.mark.parametrize("known", [True, None])
def test_others_take_them(known: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_products, "has_vnni", lambda: known)
    check_integer_products(model(bits=8), engine="openvino")


@pytest.mark.parametrize(("bits", "weight_bits"), [(None, 8), (8, 7), (16, 16)])
def test_all_else_runs_anywhere(bits: int | None, weight_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_products, "has_vnni", lambda: False)
    check_integer_products(model(bits=bits, weight_bits=weight_bits), engine="onnxruntime")
