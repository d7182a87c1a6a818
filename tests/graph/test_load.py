"""One door for all formats: the same weights give the same network, and what does not fit is listed."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from small_networks import (
    TINY,
    random_arrays,
    random_batch,
    random_network,
    run_onnxruntime,
    worst_difference,
)
from u2forge.errors import ModelError
from u2forge.graph.architecture import U2NETP, expected_parameters
from u2forge.graph.load import Network, export_graph, load_network
from u2forge.graph.state_dict import upstream_state_dict
from u2forge.graph.write_onnx import write_onnx
from u2forge.passes.fold_batchnorm import FoldBatchNorm
from u2forge.weights.checkpoint import write_safetensors, write_state_dict
from u2forge.weights.digest import sha256_of


def probabilities(network: Network) -> list[np.ndarray]:
    return run_onnxruntime(export_graph(network), {"image": random_batch(2, 3, 64, 81)})


def test_safetensors_and_onnx_give_the_same_network(tmp_path: Path) -> None:
    network = random_network()
    write_safetensors(network.arrays, tmp_path / "a.safetensors")
    write_onnx(export_graph(network), tmp_path / "b.onnx")
    expected = probabilities(network)
    for name in ("a.safetensors", "b.onnx"):
        loaded = load_network(tmp_path / name)
        assert loaded.architecture == TINY
        assert worst_difference(probabilities(loaded), expected) == 0


@pytest.mark.needs_torch
def test_pth_and_pt_give_the_same_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch_u2net import U2NET

    network = random_network()
    net = U2NET(tuple(s.mid_channels for s in TINY.stages), tuple(s.out_channels for s in TINY.stages))
    net.load_state_dict({name: torch.from_numpy(array) for name, array in network.arrays.items()})
    torch.save(net.state_dict(), tmp_path / "a.pth")
    with warnings.catch_warnings():
        # TorchScript is deprecated, and still about.
        warnings.simplefilter("ignore")
        torch.jit.trace(net.eval(), torch.zeros(1, 3, 32, 32), check_trace=False).save(tmp_path / "b.pt")
    expected = probabilities(network)
    for name, kind in (("a.pth", "pth"), ("b.pt", "pt")):
        loaded = load_network(tmp_path / name)
        assert loaded.origin.format == kind
        assert worst_difference(probabilities(loaded), expected) == 0


@pytest.mark.needs_torch
def test_onnx_to_pth_and_back(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    network = random_network(batch_norm=False)
    write_state_dict(upstream_state_dict(TINY, network.arrays), tmp_path / "back.pth")
    loaded = load_network(tmp_path / "back.pth")
    assert len(loaded.arrays) == 686
    assert worst_difference(probabilities(loaded), probabilities(network)) < 1e-5


def test_the_bytes_decide_the_format_and_the_name(tmp_path: Path) -> None:
    path = tmp_path / "portrait.pth"
    write_safetensors(random_network().arrays, path)
    loaded = load_network(path)
    assert loaded.name == "portrait"
    assert loaded.origin.format == "safetensors"
    assert loaded.origin.sha256 == sha256_of(path)
    assert load_network(path, name="mine").name == "mine"


def test_an_exported_graph_keeps_name_and_origin(tmp_path: Path) -> None:
    network = random_network()
    write_onnx(export_graph(network), tmp_path / "net.onnx")
    loaded = load_network(tmp_path / "net.onnx")
    assert (loaded.name, loaded.origin) == ("tiny", network.origin)


def test_changed_weights_lose_the_noted_origin(tmp_path: Path) -> None:
    model = export_graph(random_network())
    FoldBatchNorm()(model)
    write_onnx(model, tmp_path / "net.onnx")
    assert load_network(tmp_path / "net.onnx").origin.file == "net.onnx"


@pytest.mark.parametrize("note", ["", "{", "[]", '{"name": 1}', '{"name": "n", "origin": null}', "[" * 10**5])
def test_a_broken_note_is_no_origin(tmp_path: Path, note: str) -> None:
    model = export_graph(random_network())
    model.metadata_props["u2forge.graph"] = note
    write_onnx(model, tmp_path / "net.onnx")
    assert load_network(tmp_path / "net.onnx").origin.format == "onnx"


def test_export_is_deterministic_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(export_graph(random_network()), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_network(path)
    return str(caught.value)


def test_missing_unknown_and_misshapen_parameters_are_listed_together(tmp_path: Path) -> None:
    arrays = random_arrays(U2NETP, batch_norm=True)
    del arrays["stage2.rebnconv3.bn_s1.running_mean"]
    del arrays["side4.bias"]
    arrays["extra.weight"] = np.zeros(3, np.float32)
    arrays["stage3.rebnconv2.conv_s1.weight"] = np.zeros((16, 15, 3, 3), np.float32)
    write_safetensors(arrays, tmp_path / "net.safetensors")
    message = refusal(tmp_path / "net.safetensors")
    assert "the 686 parameters of u2netp, the nearest architecture" in message
    assert "2 missing: stage2.rebnconv3.bn_s1.running_mean, side4.bias" in message
    assert "1 unknown: extra.weight" in message
    wrong = "stage3.rebnconv2.conv_s1.weight [16, 15, 3, 3] in place of [16, 16, 3, 3]"
    assert f"1 misshapen: {wrong}" in message
    assert "To mend: export the whole state dict again" in message


def test_long_lists_are_cut(tmp_path: Path) -> None:
    names = expected_parameters(TINY, batch_norm=True)
    arrays = {
        name: array for name, array in random_arrays(TINY, batch_norm=True).items() if "stage6" not in name
    }
    write_safetensors(arrays, tmp_path / "net.safetensors")
    missing = sum("stage6" in name for name in names)
    message = refusal(tmp_path / "net.safetensors")
    assert f"{missing} missing: stage6.rebnconvin.conv_s1.weight, " in message
    assert f"and {missing - 8} more" in message


def test_weights_of_another_network_are_told_so(tmp_path: Path) -> None:
    write_safetensors({"fc.weight": np.zeros((10, 512), np.float32)}, tmp_path / "net.safetensors")
    message = refusal(tmp_path / "net.safetensors")
    assert "1 unknown: fc.weight" in message
    assert "To mend: use weights of a U²-Net (u2net, u2netp, or one of your own widths)" in message


def test_a_file_of_no_known_format_is_told_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"hello, this is text")
    message = refusal(tmp_path / "net.bin")
    assert "a PyTorch state dict (.pth), TorchScript (.pt), .safetensors or ONNX file" in message


def test_a_graph_of_another_network_names_the_file(tmp_path: Path) -> None:
    model = export_graph(random_network())
    for node in model.graph:
        if node.op_type == "Sigmoid":
            node.op_type = "Tanh"
    write_onnx(model, tmp_path / "net.onnx")
    assert f"graph {tmp_path / 'net.onnx'}, node 'd0.sigmoid': expected U²-Net: Sigmoid" in refusal(
        tmp_path / "net.onnx"
    )
