"""A Network and a BuilderConfig → what our own build takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from u2forge.errors import InputError
from u2forge.magicmind.builder_config import BuilderConfig
from u2forge.magicmind.network import Network, NetworkTensor
from u2forge.magicmind.status import PreconditionError, UnsupportedError
from u2forge.model_file.manifest import ShapeRange
from u2forge.precision import quantized_bits
from u2forge.quantize.options import QuantizeOptions, RangeAlgorithm, WeightGranularity
from u2forge.quantize.ranges import Range
from u2forge.verbs.build_tensors import InterfaceChanges, TensorModelRequest
from u2forge.verbs.quantize_tensors import TensorQuantization

T = TypeVar("T")
Shape = tuple["int | None", ...]
_GRANULARITIES: dict[str, WeightGranularity] = {"per_tensor": "per_tensor", "per_axis": "per_channel"}
# What `build` takes for a U²-Net; whose channels may be scaled in another network is not known.
_EQUALIZE = 0.5
_NO_LAYOUTS: dict[str, tuple[str, str]] = {}


def model_request(name: str, network: Network, config: BuilderConfig) -> TensorModelRequest:
    """What to build. Raises InputError where the configuration does not fit the network, PreconditionError where
    sizes are missing."""
    ranges = _ranges(network, config)
    return TensorModelRequest(
        name=name,
        precision=config.precision_mode,
        shapes={tensor.name: _shape(tensor, config, ranges) for tensor in network.inputs},
        ranges=tuple(found for found in ranges.values() if found.smallest != found.largest),
        fold_batchnorm=_folding(config),
        changes=interface_changes(network, config),
    )


def quantization(
    network: Network, config: BuilderConfig, *, algorithm: RangeAlgorithm
) -> TensorQuantization | None:
    """How to quantize, None in a float precision."""
    bits = quantized_bits(config.precision_mode)
    if bits is None:
        return None
    has_fixed_size = all(None not in (tensor.shape or ())[1:] for tensor in network.inputs)
    none: dict[str, Range] = {}
    return TensorQuantization(
        precision=config.precision_mode,
        options=QuantizeOptions(
            bits=bits,
            algorithm=algorithm,
            weight_granularity=_GRANULARITIES[config.inner_or_outer("weight_quant_granularity", "per_axis")],
            activations="symmetric"
            if config.inner_or_outer("activation_quant_algo", "asymmetric") == "symmetric"
            else "asymmetric",
            equalize=_EQUALIZE if network.parsed.is_u2net and has_fixed_size else 0.0,
        ),
        ranges=config.inner_or_outer("custom_ranges", none),
        float_layers=config.value("precision_config.float_layers", ()),
    )


def interface_changes(network: Network, config: BuilderConfig) -> InterfaceChanges:
    """What is put in front of and behind the network."""

    def of_inputs(key: str, empty: dict[str, T]) -> dict[str, T]:
        return _by_name(config.value(key, empty), network.inputs, key)

    is_u2net = network.parsed.is_u2net
    every: object = config.value("rgb2bgr", {})
    flags = {tensor.name: every for tensor in network.inputs} if isinstance(every, bool) else None
    reverse = of_inputs("rgb2bgr", {}) if flags is None else flags
    return InterfaceChanges(
        normalized=of_inputs("insert_bn_before_firstnode", {}),
        reversed_channels=tuple(name for name, wanted in reverse.items() if wanted),
        input_layouts=_layouts(config, "convert_input_layout", network.inputs, is_u2net=is_u2net),
        output_layouts=_layouts(config, "convert_output_layout", network.outputs, is_u2net=is_u2net),
        input_types={t.name: t.changed_type for t in network.inputs if t.changed_type is not None},
        output_types={t.name: t.changed_type for t in network.outputs if t.changed_type is not None},
        narrow_64_bits=config.value("opt_config.type64to32_conversion", False),
    )


def _folding(config: BuilderConfig) -> bool:
    wanted = config.value("opt_config.conv_scale_fold", True)
    if not wanted and quantized_bits(config.precision_mode) is not None:
        raise UnsupportedError(
            where="builder configuration, key 'opt_config.conv_scale_fold'",
            expected="true, or a float precision_mode beside false",
            found=f"false, and {config.precision_mode}: integers are worked out for folded weights",
            fix="leave the key out",
        )
    return wanted


def _ranges(network: Network, config: BuilderConfig) -> dict[str, ShapeRange]:
    none: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    given = _by_name(config.value("dim_range", none), network.inputs, "dim_range")
    is_open = any(smallest != largest for smallest, largest in given.values())
    if is_open and config.value("graph_shape_mutable", True) is False:
        raise InputError(
            where="builder configuration",
            expected="graph_shape_mutable true beside a dim_range",
            found="false, and ranges that leave axes open",
            fix='write {"graph_shape_mutable": true}, or leave dim_range out',
        )
    for tensor in network.inputs:
        if (
            tensor.name in given
            and tensor.shape is not None
            and len(given[tensor.name][0]) != len(tensor.shape)
        ):
            raise InputError(
                where=f"builder configuration, key 'dim_range', input {tensor.name!r}",
                expected=f"{len(tensor.shape)} sizes",
                found=f"{len(given[tensor.name][0])}",
                fix="give one for each axis, in the order of the parsed network",
            )
    return {name: ShapeRange(name, smallest, largest) for name, (smallest, largest) in given.items()}


def _shape(tensor: NetworkTensor, config: BuilderConfig, ranges: Mapping[str, ShapeRange]) -> Shape:
    found = ranges.get(tensor.name)
    if found is not None:
        pairs = zip(found.smallest, found.largest, strict=True)
        return tuple(low if low == high else None for low, high in pairs)
    shape = tensor.shape
    mutable = config.value("graph_shape_mutable", False)
    if shape is None or (None in shape and not mutable):
        raise PreconditionError(
            where=f"network, input {tensor.name!r}",
            expected="sizes",
            found="none" if shape is None else f"{tensor.get_dimension()}, with open axes",
            fix="call set_dimension(mm.Dims((1, 3, 320, 320))) on it, say, or set graph_shape_mutable and dim_range",
        )
    return (None, *shape[1:]) if mutable and shape and None not in shape else shape


def _layouts(
    config: BuilderConfig, key: str, tensors: Sequence[NetworkTensor], *, is_u2net: bool
) -> dict[str, str]:
    """What each tensor becomes, where that is another layout. Of other networks than ours, src is believed."""
    changes = _by_name(config.value(key, _NO_LAYOUTS), tensors, key)
    for name, (source, target) in changes.items():
        if is_u2net and source != "NCHW":
            raise InputError(
                where=f"builder configuration, key {key!r}, tensor {name!r}",
                expected="src NCHW, which a U²-Net has",
                found=f"src {source}, dst {target}",
                fix='write {"src": "NCHW", "dst": "NHWC"}, or leave it out',
            )
    return {name: target for name, (source, target) in changes.items() if source != target}


def _by_name(values: Mapping[str, T], tensors: Sequence[NetworkTensor], key: str) -> dict[str, T]:
    """By name, what may also be said by number."""
    found: dict[str, T] = {}
    names = [tensor.name for tensor in tensors]
    for word, value in values.items():
        name = names[int(word)] if word.isdecimal() and int(word) < len(names) else word
        if name not in names:
            raise InputError(
                where=f"builder configuration, key {key!r}",
                expected=f"the number or name of one of {', '.join(names)}",
                found=repr(word),
                fix="numbers begin with 0",
            )
        found[name] = value
    return found
