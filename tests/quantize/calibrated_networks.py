"""The tiny network as an offline float graph, calibrated on three pictures; a smaller one of one layer of each kind;
and a graph's inner values as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from pass_checks import graph

from small_networks import random_batch, random_graph
from u2forge.passes.recipes import offline_graph
from u2forge.quantize.observe import STATISTICS_NAME, Calibrated, CalibrationBuilder, observation
from u2forge.quantize.tensor_statistics import TensorStatistics

# Odd, and not the same: 33 × 47 becomes 17 × 24, 9 × 12, 5 × 6, 3 × 3 and 2 × 2 inside.
HEIGHT, WIDTH = 33, 47
PICTURES = 3

Array = NDArray[Any]


@cache
def float_graph(*, outputs: Any = "d0", batch_size: int | None = 1, embedded: bool = False) -> ir.Model:
    """Shared: tests must leave it as it is."""
    return offline_graph(
        random_graph(),
        outputs=outputs,
        batch_size=batch_size,
        height=HEIGHT,
        width=WIDTH,
        precision="force_float32",
        embed_preprocessing=embedded,
    )


def pictures(*, embedded: bool = False) -> list[Array]:
    """The pictures of the calibration, each a batch of one."""
    if not embedded:
        return [random_batch(1, 3, HEIGHT, WIDTH, seed=seed) for seed in range(PICTURES)]
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(PICTURES)]


@cache
def calibrated(*, embedded: bool = False) -> Calibrated:
    """What the observed tiny network says of these pictures, with all that integer kernels need."""
    return observe(float_graph(embedded=embedded), pictures(embedded=embedded), grid=5)


def observe(model: ir.Model, feeds: Iterable[Array], *, grid: int, native_ranges: bool = True) -> Calibrated:
    watched = observation(model, grid=grid, native_ranges=native_ranges)
    session = onnxruntime_session(watched.model)
    builder = CalibrationBuilder(watched.observed)
    for feed in feeds:
        builder.add(session.run([STATISTICS_NAME], {"image": feed})[0])
    return builder.result()


def onnxruntime_session(model: ir.Model, *, integers: bool = True) -> Any:
    """integers: False keeps ONNX Runtime from rewriting a quantized graph: it then computes what the graph says."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    if not integers:
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    data = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def inner_values(
    model: ir.Model, names: Sequence[str], feeds: Iterable[Array]
) -> dict[str, list[NDArray[np.float32]]]:
    """Each named value of the graph, by picture."""
    opened = model.clone()
    inputs = {str(value.name) for value in opened.graph.inputs}
    kept = {str(value.name) for value in opened.graph.outputs}
    wanted = [name for name in dict.fromkeys(names) if name not in inputs]
    by_name = {str(value.name): value for node in opened.graph for value in node.outputs}
    opened.graph.outputs.extend(by_name[name] for name in wanted if name not in kept)
    session = onnxruntime_session(opened)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for feed in feeds:
        for name, array in zip(wanted, session.run(wanted, {"image": feed}), strict=True):
            found[name].append(array)
        for name in inputs & found.keys():
            found[name].append(feed)
    return found


def statistics_of(batches: Sequence[Array]) -> TensorStatistics:
    """Of (1, C, H, W) arrays, one a picture, with every pixel as a sample."""
    space = (0, 2, 3)
    whole = [np.asarray(batch, np.float64) for batch in batches]
    return TensorStatistics(
        low=np.min([batch.min(space) for batch in whole], axis=0),
        high=np.max([batch.max(space) for batch in whole], axis=0),
        mean=np.mean([batch.mean(space) for batch in whole], axis=0),
        second_moment=np.mean([np.square(batch).mean(space) for batch in whole], axis=0),
        samples=np.concatenate([b.transpose(0, 2, 3, 1).reshape(-1, b.shape[1]) for b in whole]).astype("f4"),
    )


def statistics_from_values(values: Sequence[float] | Array) -> TensorStatistics:
    """Of one channel with these values, each of them a sample."""
    return statistics_of([np.asarray(values, np.float64).reshape(1, 1, 1, -1)])


_SAME = "kernel_shape=[3,3], pads=[1,1,1,1], strides=[1,1], dilations=[1,1], group=1"
_WIDE = "kernel_shape=[3,3], pads=[2,2,2,2], strides=[1,1], dilations=[2,2], group=1"
_POINT = "kernel_shape=[1,1], pads=[0,0,0,0], strides=[1,1], dilations=[1,1], group=1"
_LINEAR = 'mode="linear", coordinate_transformation_mode="pytorch_half_pixel"'


def small_graph(*, seed: int = 0, rectifier: str = "Relu") -> ir.Model:
    """One layer of each kind, named as its output: `a` reads the picture, `b` a pooled tensor, `c` a concatenation
    with one that was upsampled, `d` (dilated) a residual sum; `e` and `f` give logits, which `fuse` reads."""
    random = np.random.default_rng(seed)
    shapes = {
        "a": (2, 3, 3, 3),
        "b": (3, 2, 3, 3),
        "c": (2, 5, 3, 3),
        "d": (4, 2, 3, 3),
        "e": (1, 4, 3, 3),
        "f": (1, 2, 3, 3),
        "fuse": (1, 2, 1, 1),
    }
    arrays: dict[str, Any] = {"size": np.array([1, 3, 9, 11])}
    for name, shape in shapes.items():
        arrays[f"{name}_w"] = random.normal(size=shape).astype(np.float32) / 3
        arrays[f"{name}_b"] = random.normal(size=shape[0]).astype(np.float32) / 5
    text = f"""(float[1,3,9,11] image) => (float[1,1,9,11] d0) {{
        [a] a = Conv<{_SAME}>(image, a_w, a_b)
        [a_relu] ra = Relu(a)
        [pool] pooled = MaxPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(ra)
        [b] b = Conv<{_SAME}>(pooled, b_w, b_b)
        [b_relu] rb = {rectifier}(b)
        [up] up = Resize<{_LINEAR}>(rb, , , size)
        [join] joined = Concat<axis=1>(up, ra)
        [c] c = Conv<{_SAME}>(joined, c_w, c_b)
        [c_relu] rc = Relu(c)
        [sum] sum = Add(rc, ra)
        [d] d = Conv<{_WIDE}>(sum, d_w, d_b)
        [d_relu] rd = Relu(d)
        [e] e = Conv<{_SAME}>(rd, e_w, e_b)
        [f] f = Conv<{_SAME}>(sum, f_w, f_b)
        [logits] logits = Concat<axis=1>(e, f)
        [fuse] fuse = Conv<{_POINT}>(logits, fuse_w, fuse_b)
        [d0] d0 = Sigmoid(fuse)
    }}"""
    return graph(text, **arrays)


@cache
def small_calibrated() -> Calibrated:
    """What the small graph shows of three pictures, all of their pixels."""
    return observe(small_graph(), [random_batch(1, 3, 9, 11, seed=seed) for seed in range(3)], grid=11)


def by_name(nodes_or_values: Iterable[Any]) -> list[str]:
    return [str(item.name) for item in nodes_or_values]


def node(model: ir.Model, name: str) -> ir.Node:
    return next(found for found in model.graph if found.name == name)


def value(model: ir.Model, name: str) -> ir.Value:
    return next(
        v for v in [*model.graph.inputs, *(o for n in model.graph for o in n.outputs)] if v.name == name
    )


def weights_of(model: ir.Model) -> Mapping[str, NDArray[np.float32]]:
    return {name: v.const_value.numpy() for name, v in model.graph.initializers.items() if v.const_value}
