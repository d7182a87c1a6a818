"""A configuration: every key is known, read strictly, and documented; later values count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import u2forge.magicmind as mm
from u2forge.magicmind.config_keys import KEYS

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "magicmind.md").read_text(encoding="utf-8")
MODE = "precision_config.precision_mode"
INT8 = "qint8_mixed_float32"


def parsed(*parts: dict[str, Any]) -> mm.BuilderConfig:
    config = mm.BuilderConfig()
    for part in parts:
        status = config.parse_from_string(json.dumps(part))
        assert status.ok(), status
    return config


def refused(values: object) -> str:
    config = mm.BuilderConfig()
    status = config.parse_from_string(values if isinstance(values, str) else json.dumps(values))
    assert status.code is mm.Code.INVALID_ARGUMENT
    assert config.value(MODE, "nothing was taken") == "nothing was taken"
    return status.message


def test_later_values_override_earlier_ones_key_by_key() -> None:
    config = parsed(
        {"precision_config": {"precision_mode": "force_float16", "weight_quant_granularity": "per_tensor"}},
        {"precision_config": {"precision_mode": "qint8_mixed_float32"}},
    )
    assert config.precision_mode == "qint8_mixed_float32"
    assert config.inner_or_outer("weight_quant_granularity", "") == "per_tensor"
    assert config.parse_from_string('{"weight_quant_granularity": "per_axis"}').ok()
    assert config.inner_or_outer("weight_quant_granularity", "") == "per_axis"


def test_a_file_is_read_like_a_string(tmp_path: Path) -> None:
    path = tmp_path / "build.json"
    path.write_text('{"graph_shape_mutable": true}')
    config = mm.BuilderConfig()
    assert config.parse_from_file(str(path)).ok()
    assert config.value("graph_shape_mutable", False) is True
    missing = config.parse_from_file(tmp_path / "none.json")
    assert missing.code is mm.Code.NOT_FOUND
    assert "no such file" in missing.message
    assert config.parse_from_file(tmp_path).code is mm.Code.INVALID_ARGUMENT


def test_what_has_no_effect_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    archs = {"archs": [{"mtp_372": [6, 8]}]}
    parsed(archs, archs, {"computation_preference": "fast"}, {"debug_config": {"any": ["thing"]}})
    assert caplog.text.count("archs has no effect: there is no card to compile for") == 1
    assert "computation_preference has no effect: the engines here have one way" in caplog.text
    assert "debug_config has no effect" in caplog.text


def test_what_steers_quantization_has_no_effect_in_float(caplog: pytest.LogCaptureFixture) -> None:
    config = parsed({"precision_config": {"weight_quant_granularity": "per_axis"}}, {"custom_ranges": {}})
    assert caplog.text == ""
    config.tell_unused()
    config.tell_unused()
    said = "precision_config.weight_quant_granularity has no effect: nothing is quantized in force_float32"
    assert caplog.text.count(said) == 1
    assert "custom_ranges has no effect" in caplog.text
    caplog.clear()
    quantized = {"precision_mode": INT8, "weight_quant_granularity": "per_axis"}
    parsed({"precision_config": quantized}).tell_unused()
    assert caplog.text == ""


def test_what_is_honoured_is_not_said_to_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    parsed({"opt_config": {"conv_scale_fold": True, "type64to32_conversion": True}, "rgb2bgr": {"0": True}})
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("values", "wording"),
    [
        ("{", "expected a JSON object"),
        ([1], "a list, no object"),
        ({"precision_config": {"precison_mode": 1}}, "did you mean 'precision_config.precision_mode'"),
        ({"colour": 1}, "leave it out: nothing here does what it asks for"),
        ({"precision_config": {"precision_mode": "int8"}}, "one of force_float32, force_float16, qint8"),
        ({"precision_config": "int8"}, "key 'precision_config': expected an object"),
        ({"opt_config": {"conv_scale_fold": 1}}, "expected true or false"),
        ({"archs": "mtp_372"}, "a list"),
        ({"dim_range": {"0": {"min": [1, 3], "max": [1]}}}, "as many sizes in min as in max"),
        ({"dim_range": {"0": {"min": [4], "max": [2]}}}, "none of them larger"),
        ({"dim_range": {"0": [1, 2]}}, "'dim_range.0': expected an object"),
        ({"dim_range": {"0": {"min": [0], "max": [1]}}}, "sizes of at least 1"),
        ({"insert_bn_before_firstnode": {"0": {"mean": [1], "var": [0]}}}, "variances above 0"),
        ({"insert_bn_before_firstnode": {"0": {"mean": [1]}}}, '"mean": [numbers], "var": [numbers]'),
        ({"convert_input_layout": {"0": {"src": "NCHW", "dst": "CHWN"}}}, "one of NCHW, NHWC"),
        ({"rgb2bgr": "yes"}, "an object"),
        ({"custom_ranges": {"x": [0, 10**400]}}, "finite numbers"),
        ({"custom_ranges": {"x": [2, 1]}}, "low < high"),
        ({"custom_ranges": {"x": {"min": 0, "max": float("inf")}}}, "finite numbers"),
        ({"computation_preference": "quick"}, "one of auto, fast, high_precision"),
        ({"precision_config": {"float_layers": "conv"}}, "a list of names"),
    ],
)
def test_what_does_not_fit_is_refused_as_a_whole(values: object, wording: str) -> None:
    mode = {"precision_config": {"precision_mode": "force_float16"}}
    both = {**mode, **values} if isinstance(values, dict) and "precision_config" not in values else values
    assert wording in refused(both)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["0", "min", "max", "src"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(KEYS)), JSON)
def test_no_value_of_any_key_raises(key: str, value: object) -> None:
    outer, _, inner = key.partition(".")
    status = mm.BuilderConfig().parse_from_string(json.dumps({outer: {inner: value} if inner else value}))
    assert status.ok() or status.code is mm.Code.INVALID_ARGUMENT


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_in_the_document(key: str) -> None:
    assert f"`{key}`" in DOCUMENT
