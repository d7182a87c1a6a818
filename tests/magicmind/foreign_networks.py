"""Two small networks in the style of torchvision's that are no U²-Nets, as ONNX files; and a TorchScript one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_SAME = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, NDArray[Any]],
    *,
    opset: int,
) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "small", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def classifier(path: Path, *, opset: int = 13) -> Path:
    """One input of open batch, one output: a residual block with batch-norms, a depthwise convolution, ReLU6, pooling
    to one pixel and a linear layer, as in MobileNetV2 and ResNet."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    weights: dict[str, NDArray[Any]] = {
        "stem_w": normal(8, 3, 3, 3),
        "gamma": random.uniform(0.5, 1.5, 8).astype(np.float32),
        "beta": random.normal(size=8).astype(np.float32) / 4,
        "mean": random.normal(size=8).astype(np.float32) / 4,
        "variance": random.uniform(0.5, 1.5, 8).astype(np.float32),
        "depth_w": normal(8, 1, 3, 3),
        "depth_b": normal(8),
        "point_w": normal(8, 8, 1, 1),
        "low": np.float32(0),
        "high": np.float32(6),
        "linear_w": normal(10, 8),
        "linear_b": normal(10),
    }
    nodes = [
        helper.make_node("Conv", ["picture", "stem_w"], ["stem"], name="stem", **_SAME),
        helper.make_node("BatchNormalization", ["stem", "gamma", "beta", "mean", "variance"], ["normed"]),
        helper.make_node("Clip", ["normed", "low", "high"], ["clipped"]),
        helper.make_node("MaxPool", ["clipped"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "depth_w", "depth_b"], ["depth"], name="depth", group=8, **_SAME),
        helper.make_node("Conv", ["depth", "point_w"], ["point"], name="point", kernel_shape=[1, 1]),
        helper.make_node("Add", ["point", "pooled"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["rectified"]),
        helper.make_node("GlobalAveragePool", ["rectified"], ["averaged"]),
        helper.make_node("Flatten", ["averaged"], ["flat"]),
        helper.make_node("Gemm", ["flat", "linear_w", "linear_b"], ["logits"], transB=1),
    ]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["batch", 3, 16, 16])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    return _save(path, nodes, [picture], [logits], weights, opset=opset)


def detector(path: Path) -> Path:
    """Two inputs and three outputs, one of them of 64-bit numbers: a feature pyramid of two levels."""
    random = np.random.default_rng(1)
    weights: dict[str, NDArray[Any]] = {
        "left_w": (random.standard_normal((4, 3, 3, 3)) / 4).astype(np.float32),
        "right_w": (random.standard_normal((4, 1, 3, 3)) / 2).astype(np.float32),
        "head_w": (random.standard_normal((2, 8, 3, 3)) / 6).astype(np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["picture", "left_w"], ["left"], name="left", strides=[2, 2], **_SAME),
        helper.make_node("Relu", ["left"], ["features"]),
        helper.make_node("Conv", ["depth", "right_w"], ["right"], name="right", **_SAME),
        helper.make_node("Sigmoid", ["right"], ["gates"]),
        helper.make_node("Resize", ["features", "", "scales"], ["enlarged"], mode="nearest"),
        helper.make_node("Concat", ["enlarged", "gates"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "head_w"], ["scores"], name="head", **_SAME),
        helper.make_node("ArgMax", ["scores"], ["classes"], axis=1, keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 12, 8]),
        helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, 12, 8]),
    ]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 12, 8]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 4, 6, 4]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, [1, 12, 8]),
    ]
    return _save(path, nodes, inputs, outputs, weights, opset=17)


def traced(path: Path) -> Path:
    """A TorchScript network of two inputs and two outputs, traced by PyTorch."""
    import torch

    class Small(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.stem = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.norm = torch.nn.BatchNorm2d(8)
            self.depth = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.linear = torch.nn.Linear(8, 5)

        def forward(self, picture: Any, prior: Any) -> Any:
            features = torch.nn.functional.relu6(self.norm(self.stem(picture)))
            features = torch.relu(self.depth(features) + prior)
            return self.linear(features.mean((2, 3))), features

    example = torch.zeros(1, 3, 8, 12), torch.zeros(1, 8, 8, 12)
    torch.jit.trace(Small().eval(), example).save(str(path))
    return path
