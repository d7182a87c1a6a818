"""Our build options → MagicMind's builder configuration, one JSON object; what it has no words for is refused."""

from __future__ import annotations

from typing import Any

from u2forge.model_file.manifest import Manifest
from u2forge.profiles import MEAN_RGB, STD_RGB
from u2forge.quantize.options import QuantizeOptions, WeightGranularity
from u2forge.target import Target
from u2forge.tensor_spec import TensorSpec

# MagicMind's name of each card's architecture, and the cluster counts to compile for.
ARCHITECTURES: dict[Target, dict[str, list[int]]] = {"mlu370": {"mtp_372": [6, 8]}}
# Pictures that a dynamic batch may have: the SDK asks for a largest shape, which its memory is planned for. Segmenter
# takes 8 at once, and perf's search tries no more.
LARGEST_DYNAMIC_BATCH = 64
_GRANULARITIES: dict[WeightGranularity, str] = {"per_channel": "per_axis", "per_tensor": "per_tensor"}
_GREY_LEVELS = 255.0


def builder_config(manifest: Manifest, options: QuantizeOptions | None) -> dict[str, Any]:
    """The JSON for BuilderConfig.parse_from_string. options: None in the float modes."""
    precision: dict[str, Any] = {"precision_mode": manifest.precision}
    if options is not None:
        precision["weight_quant_granularity"] = _GRANULARITIES[options.weight_granularity]
        precision["activation_quant_algo"] = options.activations
    picture = manifest.inputs[0]
    config: dict[str, Any] = {
        "archs": [ARCHITECTURES[manifest.target]],
        "precision_config": precision,
        "opt_config": {"type64to32_conversion": True, "conv_scale_fold": True},
        "graph_shape_mutable": picture.batch_size is None,
    }
    if picture.batch_size is None:
        smallest, largest = (network_shape(picture, batch_size=size) for size in (1, LARGEST_DYNAMIC_BATCH))
        config["dim_range"] = {"0": {"min": list(smallest), "max": list(largest)}}
    if manifest.embedded_preprocessing:
        config["insert_bn_before_firstnode"] = {"0": _grey_level_statistics()}
        config["convert_input_layout"] = {"0": {"src": "NCHW", "dst": "NHWC"}}
    return config


def network_shape(picture: TensorSpec, *, batch_size: int) -> tuple[int, ...]:
    """(batch_size, 3, height, width): the parsed network's own input, before the builder turns its layout."""
    height, width = picture.height, picture.width
    assert height is not None
    assert width is not None
    return batch_size, 3, height, width


def _grey_level_statistics() -> dict[str, list[float]]:
    """Mean and variance of 8-bit pictures: of grey levels, where ours are of levels divided by their maximum."""
    return {
        "mean": [mean * _GREY_LEVELS for mean in MEAN_RGB],
        "var": [(deviation * _GREY_LEVELS) ** 2 for deviation in STD_RGB],
    }
