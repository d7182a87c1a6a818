"""Every key of a builder configuration: how its value is read, and what is done with it here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from u2forge.errors import InputError
from u2forge.magicmind.config_values import (
    boolean,
    choice,
    layout_change,
    mapping,
    mean_and_variance,
    names,
    pair,
    shape_range,
    wrong,
)
from u2forge.precision import PRECISION_MODES

# quantized: honoured where there are integers, without effect in the float precisions.
Effect = Literal["honoured", "quantized", "none"]
Read = Callable[[object, str], object]


@dataclass(frozen=True)
class ConfigKey:
    """read: checks the value; about: what it does here, or why it does nothing."""

    read: Read
    effect: Effect
    about: str


def _one_of(*valid: str) -> Read:
    return lambda value, key: choice(value, key, valid)


def _by_tensor(read: Read) -> Read:
    """An object with one entry a tensor, by its number or name."""
    return lambda value, key: {name: read(one, f"{key}.{name}") for name, one in mapping(value, key).items()}


def _anything(value: object, key: str) -> object:
    return value


def _archs(value: object, key: str) -> object:
    if not isinstance(value, list):
        raise wrong(key, 'a list: [{"mtp_372": [6, 8]}], say', value)
    return value


def _reversed(value: object, key: str) -> object:
    """true or false for all inputs, or by input."""
    return boolean(value, key) if isinstance(value, bool) else _by_tensor(boolean)(value, key)


_WEIGHTS = ConfigKey(
    _one_of("per_tensor", "per_axis"),
    "quantized",
    "one scale for all weights of a layer, or one for each channel",
)
_ACTIVATIONS = ConfigKey(
    _one_of("symmetric", "asymmetric"), "quantized", "integers without or with a zero point"
)
_RANGES = ConfigKey(
    _by_tensor(pair), "quantized", "ranges of activations by name, in place of calibrated ones"
)

# A dot stands between an outer key and one inside it.
KEYS: dict[str, ConfigKey] = {
    "archs": ConfigKey(
        _archs, "none", "there is no card to compile for: the model runs on this machine's devices"
    ),
    "precision_config.precision_mode": ConfigKey(
        _one_of(*PRECISION_MODES), "honoured", "the precision that the model is built for"
    ),
    "precision_config.weight_quant_granularity": _WEIGHTS,
    "precision_config.activation_quant_algo": _ACTIVATIONS,
    "precision_config.custom_ranges": _RANGES,
    "precision_config.float_layers": ConfigKey(
        names, "quantized", "convolutions that stay in float (a key of u2forge's own)"
    ),
    "weight_quant_granularity": _WEIGHTS,
    "activation_quant_algo": _ACTIVATIONS,
    "custom_ranges": _RANGES,
    "opt_config.conv_scale_fold": ConfigKey(boolean, "honoured", "batch-norms are folded into convolutions"),
    "opt_config.type64to32_conversion": ConfigKey(
        boolean, "honoured", "64-bit inputs and outputs become 32-bit ones; inside, the engine decides"
    ),
    "graph_shape_mutable": ConfigKey(
        boolean, "honoured", "axes stay open: those of dim_range, else the batch"
    ),
    "dim_range": ConfigKey(
        _by_tensor(shape_range),
        "honoured",
        "the smallest and largest shape of each input; a Context holds them",
    ),
    "insert_bn_before_firstnode": ConfigKey(
        _by_tensor(mean_and_variance),
        "honoured",
        "the input becomes uint8, (x - mean) / sqrt(var) is in the graph",
    ),
    "convert_input_layout": ConfigKey(
        _by_tensor(layout_change), "honoured", "the input is transposed in the graph"
    ),
    "convert_output_layout": ConfigKey(
        _by_tensor(layout_change), "honoured", "the output is transposed in the graph"
    ),
    "rgb2bgr": ConfigKey(_reversed, "honoured", "the input's channels are reversed in the graph"),
    "computation_preference": ConfigKey(
        _one_of("auto", "fast", "high_precision"),
        "none",
        "the engines here have one way to compute in each precision; choose precision_mode for another",
    ),
    "debug_config": ConfigKey(
        _anything, "none", "it steers the compiler of the card; `u2forge perf --profile` shows layers here"
    ),
}
_OUTER = {key.partition(".")[0] for key in KEYS if "." in key}


def read_config(values: Mapping[str, Any]) -> dict[str, object]:
    """The configuration's values by key, checked. Raises InputError on an unknown key or a value that does not fit."""
    return {key: _known(key).read(value, key) for key, value in _flattened(values)}


def _flattened(values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if key in _OUTER:
            yield from ((f"{key}.{inner}", one) for inner, one in mapping(value, key).items())
        else:
            yield key, value


def _known(key: str) -> ConfigKey:
    if key in KEYS:
        return KEYS[key]
    near = difflib.get_close_matches(key, KEYS, n=1)
    raise InputError(
        where="builder configuration",
        expected=f"one of the keys {', '.join(KEYS)}",
        found=repr(key),
        fix=f"did you mean {near[0]!r}?" if near else "leave it out: nothing here does what it asks for",
    )
