"""The official full U²-Net, as published: its graph and ours are one network."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from small_networks import random_batch, run_onnxruntime, worst_difference
from u2forge.graph.architecture import U2NET
from u2forge.graph.load import Network, export_graph, load_network
from u2forge.graph.write_onnx import write_onnx
from u2forge.passes.recipes import offline_graph

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def network(u2net_onnx: Path) -> Network:
    return load_network(u2net_onnx)


@pytest.fixture(scope="module")
def official_outputs(u2net_onnx: Path) -> list[np.ndarray]:
    return run_onnxruntime(ir.load(u2net_onnx), {"input.1": random_batch(1, 3, 320, 320)})


def test_it_is_recognised(network: Network) -> None:
    assert network.architecture is U2NET
    assert network.name == "u2net"
    assert network.origin.sha256 == "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491"
    assert len(network.arrays) == 238


def test_our_graph_gives_all_seven_outputs(network: Network, official_outputs: list[np.ndarray]) -> None:
    outputs = run_onnxruntime(export_graph(network), {"image": random_batch(1, 3, 320, 320)})
    assert len(outputs) == 7
    assert worst_difference(outputs, official_outputs) < 1e-5


def test_the_offline_graph_is_small_and_equal(network: Network, official_outputs: list[np.ndarray]) -> None:
    model = offline_graph(
        export_graph(network),
        outputs="d0",
        batch_size=1,
        height=320,
        width=320,
        precision="force_float32",
        embed_preprocessing=False,
    )
    assert Counter(node.op_type for node in model.graph) == {
        "Conv": 119,
        "Relu": 112,
        "Concat": 51,
        "Resize": 38,
        "MaxPool": 33,
        "Add": 11,
        "Sigmoid": 1,
    }
    outputs = run_onnxruntime(model, {"image": random_batch(1, 3, 320, 320)})
    assert worst_difference(outputs, official_outputs[:1]) < 1e-5


def test_an_exported_file_gives_the_same_network(network: Network, tmp_path: Path) -> None:
    write_onnx(export_graph(network), tmp_path / "net.onnx")
    again = load_network(tmp_path / "net.onnx")
    assert (again.name, again.architecture, again.origin) == ("u2net", U2NET, network.origin)
    assert all(np.array_equal(again.arrays[name], array) for name, array in network.arrays.items())


def test_every_format_gives_the_same_map(
    network: Network, official_outputs: list[np.ndarray], tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    from torch_u2net import U2NET as TorchU2Net

    from u2forge.graph.state_dict import upstream_state_dict
    from u2forge.weights.checkpoint import write_safetensors, write_state_dict

    arrays = upstream_state_dict(network.architecture, network.arrays)
    write_state_dict(arrays, tmp_path / "net.pth")
    write_safetensors(arrays, tmp_path / "net.safetensors")
    stages = network.architecture.stages
    upstream = TorchU2Net(
        tuple(stage.mid_channels for stage in stages), tuple(stage.out_channels for stage in stages)
    ).eval()
    upstream.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True), strict=True)
    image = torch.from_numpy(random_batch(1, 3, 320, 320))
    with torch.no_grad(), warnings.catch_warnings():
        # TorchScript is deprecated, and still about.
        warnings.simplefilter("ignore")
        torch.jit.trace(upstream, image, check_trace=False).save(tmp_path / "net.pt")
        assert worst_difference([d.numpy() for d in upstream(image)], official_outputs) < 1e-5
    for name in ("net.pth", "net.safetensors", "net.pt"):
        again = load_network(tmp_path / name)
        assert again.origin.format == name.rsplit(".", 1)[1]
        outputs = run_onnxruntime(export_graph(again), {"image": image.numpy()})
        assert worst_difference(outputs, official_outputs) < 1e-5, name
