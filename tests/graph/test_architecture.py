"""The tables agree with the paper's and upstream's numbers."""

from __future__ import annotations

import math

import pytest

from u2forge.errors import ModelError
from u2forge.graph.architecture import (
    U2NET,
    U2NETP,
    Architecture,
    architecture_from_shapes,
    architecture_of,
    convolutions,
    expected_parameters,
)

# (in, mid, out) of every stage. Source: paper, Fig. 5; upstream u2net.py, U2NET.__init__.
U2NET_WIDTHS = {
    "stage1": (3, 32, 64),
    "stage2": (64, 32, 128),
    "stage3": (128, 64, 256),
    "stage4": (256, 128, 512),
    "stage5": (512, 256, 512),
    "stage6": (512, 256, 512),
    "stage5d": (1024, 256, 512),
    "stage4d": (1024, 128, 256),
    "stage3d": (512, 64, 128),
    "stage2d": (256, 32, 64),
    "stage1d": (128, 16, 64),
}


def widths(architecture: Architecture) -> dict[str, tuple[int, int, int]]:
    return {s.name: (s.in_channels, s.mid_channels, s.out_channels) for s in architecture.stages}


def test_widths_are_those_of_the_paper() -> None:
    assert widths(U2NET) == U2NET_WIDTHS
    assert list(widths(U2NET)) == list(U2NET_WIDTHS)
    small = {name: (128 if name.endswith("d") else 64, 16, 64) for name in U2NET_WIDTHS}
    assert widths(U2NETP) == small | {"stage1": (3, 16, 64)}


@pytest.mark.parametrize(
    ("architecture", "folded", "trainable"),
    # folded: the floats of the official u2net.onnx; trainable: what PyTorch counts in upstream's networks.
    [(U2NET, 43_981_069, 44_009_869), (U2NETP, 1_125_485, 1_131_181)],
    ids=["u2net", "u2netp"],
)
def test_parameter_counts(architecture: Architecture, folded: int, trainable: int) -> None:
    shapes = expected_parameters(architecture, batch_norm=False)
    assert sum(map(math.prod, shapes.values())) == folded
    assert len(shapes) == 238
    shapes = expected_parameters(architecture, batch_norm=True)
    assert len(shapes) == 686
    assert sum(math.prod(shape) for name, shape in shapes.items() if "running" not in name) == trainable


def test_every_convolution_has_its_upstream_name_and_dilation() -> None:
    rows = {row.module: row for row in convolutions(U2NET)}
    assert len(rows) == 119
    four = [f"stage5.rebnconv{i}.conv_s1" for i in ("in", "1", "2", "3", "4", "3d", "2d", "1d")]
    assert [rows[name].dilation for name in four] == [1, 1, 2, 4, 8, 4, 2, 1]
    assert rows["stage1.rebnconv7.conv_s1"].dilation == 2
    assert rows["stage1.rebnconv6.conv_s1"].dilation == 1
    assert rows["stage5d.rebnconv4.conv_s1"].batch_norm == "stage5d.rebnconv4.bn_s1"
    assert (rows["side5"].in_channels, rows["side6"].in_channels) == (512, 512)
    assert rows["outconv"].batch_norm is None
    assert rows["outconv"].kernel == 1


@pytest.mark.parametrize("architecture", [U2NET, U2NETP], ids=lambda a: a.name)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_widths_are_recognised_from_shapes(architecture: Architecture, batch_norm: bool) -> None:
    shapes = expected_parameters(architecture, batch_norm=batch_norm)
    assert architecture_from_shapes(shapes) is architecture


def test_own_widths_are_recognised_too() -> None:
    own = architecture_of("mine", mids=tuple(range(2, 13)), outs=tuple(range(20, 31)))
    found = architecture_from_shapes(expected_parameters(own, batch_norm=False))
    assert found.stages == own.stages
    assert found.name == "u2net_custom"


def test_a_stage_without_its_convolutions_is_named() -> None:
    shapes = expected_parameters(U2NET, batch_norm=False)
    del shapes["stage4d.rebnconvin.conv_s1.weight"]
    with pytest.raises(
        ModelError, match=r"weights, stage4d: expected .*stage4d\.rebnconvin\.conv_s1\.weight"
    ):
        architecture_from_shapes(shapes)
