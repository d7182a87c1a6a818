"""U²-Net as tables: its stages, their widths, and every convolution with its upstream name.

Source: Qin et al., "U²-Net", Pattern Recognition 106 (2020), Fig. 5; upstream model/u2net.py, classes
RSU7 … RSU4F, U2NET and U2NETP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from u2forge.errors import ModelError

StageKind = Literal["RSU7", "RSU6", "RSU5", "RSU4", "RSU4F"]
Shape = tuple[int, ...]

IMAGE_CHANNELS = 3
SIDE_COUNT = 6
# Upstream nowhere sets it, so it is PyTorch's default for BatchNorm2d.
BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_PARAMETERS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Stage:
    """One residual U-block: `mid_channels` within it, `out_channels` out of it."""

    name: str
    kind: StageKind
    in_channels: int
    mid_channels: int
    out_channels: int


@dataclass(frozen=True)
class Architecture:
    """One member of the family. stages: six encoders, then five decoders, in upstream's order."""

    name: str
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage of that upstream name, such as stage1 or stage5d."""
        return next(stage for stage in self.stages if stage.name == name)


@dataclass(frozen=True)
class Convolution:
    """One convolution, stride 1, padded to keep the size. batch_norm: the module after it, None where none is."""

    module: str
    batch_norm: str | None
    in_channels: int
    out_channels: int
    kernel: int
    dilation: int


STAGE_KINDS: dict[str, StageKind] = {
    "stage1": "RSU7",
    "stage2": "RSU6",
    "stage3": "RSU5",
    "stage4": "RSU4",
    "stage5": "RSU4F",
    "stage6": "RSU4F",
    "stage5d": "RSU4F",
    "stage4d": "RSU4",
    "stage3d": "RSU5",
    "stage2d": "RSU6",
    "stage1d": "RSU7",
}
# The stages whose outputs the side convolutions 1 to 6 read.
SIDE_SOURCES = ("stage1d", "stage2d", "stage3d", "stage4d", "stage5d", "stage6")

# Blocks of the encoder half, deepest last: their dilations. Only the deepest of RSU7 to RSU4 is dilated, as
# nothing is left to pool; RSU4F never pools and dilates instead.
ENCODER_DILATIONS: dict[StageKind, tuple[int, ...]] = {
    "RSU7": (1, 1, 1, 1, 1, 1, 2),
    "RSU6": (1, 1, 1, 1, 1, 2),
    "RSU5": (1, 1, 1, 1, 2),
    "RSU4": (1, 1, 1, 2),
    "RSU4F": (1, 2, 4, 8),
}
# Blocks rebnconv1d, rebnconv2d, … of the decoder half.
DECODER_DILATIONS: dict[StageKind, tuple[int, ...]] = {
    "RSU7": (1,) * 6,
    "RSU6": (1,) * 5,
    "RSU5": (1,) * 4,
    "RSU4": (1,) * 3,
    "RSU4F": (1, 2, 4),
}


def architecture_of(name: str, *, mids: tuple[int, ...], outs: tuple[int, ...]) -> Architecture:
    """The member whose stages have these widths, in the order of STAGE_KINDS; inputs follow from the wiring."""
    out = dict(zip(STAGE_KINDS, outs, strict=True))
    ins = {"stage1": IMAGE_CHANNELS}
    ins |= {f"stage{i}": out[f"stage{i - 1}"] for i in range(2, 7)}
    ins |= {
        f"stage{i}d": out["stage6" if i == 5 else f"stage{i + 1}d"] + out[f"stage{i}"] for i in range(1, 6)
    }
    stages = (
        Stage(stage, kind, ins[stage], mid, out[stage])
        for (stage, kind), mid in zip(STAGE_KINDS.items(), mids, strict=True)
    )
    return Architecture(name, tuple(stages))


U2NET = architecture_of(
    "u2net",
    mids=(32, 32, 64, 128, 256, 256, 256, 128, 64, 32, 16),
    outs=(64, 128, 256, 512, 512, 512, 512, 256, 128, 64, 64),
)
U2NETP = architecture_of("u2netp", mids=(16,) * 11, outs=(64,) * 11)
ARCHITECTURES = (U2NET, U2NETP)
CUSTOM_NAME = "u2net_custom"


def convolutions(architecture: Architecture) -> tuple[Convolution, ...]:
    """Every convolution, in the order in which upstream registers its modules."""
    rows = [row for stage in architecture.stages for row in _stage_convolutions(stage)]
    for number, source in enumerate(SIDE_SOURCES, start=1):
        rows.append(Convolution(f"side{number}", None, architecture.stage(source).out_channels, 1, 3, 1))
    return (*rows, Convolution("outconv", None, SIDE_COUNT, 1, 1, 1))


def _stage_convolutions(stage: Stage) -> list[Convolution]:
    mid, out = stage.mid_channels, stage.out_channels
    depth = len(ENCODER_DILATIONS[stage.kind])
    blocks = [("rebnconvin", stage.in_channels, out, 1)]
    for level, dilation in enumerate(ENCODER_DILATIONS[stage.kind], start=1):
        blocks.append((f"rebnconv{level}", out if level == 1 else mid, mid, dilation))
    for level in range(depth - 1, 0, -1):
        dilation = DECODER_DILATIONS[stage.kind][level - 1]
        blocks.append((f"rebnconv{level}d", 2 * mid, out if level == 1 else mid, dilation))
    return [
        Convolution(f"{stage.name}.{block}.conv_s1", f"{stage.name}.{block}.bn_s1", ins, outs, 3, dilation)
        for block, ins, outs, dilation in blocks
    ]


def expected_parameters(architecture: Architecture, *, batch_norm: bool) -> dict[str, Shape]:
    """Upstream's parameter names and their shapes, in upstream's order; num_batches_tracked is left out."""
    shapes: dict[str, Shape] = {}
    for row in convolutions(architecture):
        shapes[f"{row.module}.weight"] = (row.out_channels, row.in_channels, row.kernel, row.kernel)
        shapes[f"{row.module}.bias"] = (row.out_channels,)
        if batch_norm and row.batch_norm:
            shapes |= {f"{row.batch_norm}.{name}": (row.out_channels,) for name in BATCH_NORM_PARAMETERS}
    return shapes


def architecture_from_shapes(shapes: Mapping[str, Shape]) -> Architecture:
    """The member whose widths these parameter shapes have: u2net, u2netp, or one of the user's own widths.

    Only the widths are read here; that every parameter fits them is for the caller to check. Raises
    ModelError where a stage's widths cannot be told.
    """
    mids, outs = zip(*(_widths(stage, shapes) for stage in STAGE_KINDS), strict=True)
    found = architecture_of(CUSTOM_NAME, mids=mids, outs=outs)
    return next((known for known in ARCHITECTURES if known.stages == found.stages), found)


def _widths(stage: str, shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """(mid, out) of a stage, by its two convolutions that show one of them each."""
    mid, out = (shapes.get(f"{stage}.{block}.conv_s1.weight") for block in ("rebnconv1", "rebnconvin"))
    if mid is not None and out is not None and len(mid) == len(out) == 4 and min(mid[0], out[0]) > 0:
        return mid[0], out[0]
    raise ModelError(
        where=f"weights, {stage}",
        expected=f"4-dimensional {stage}.rebnconvin.conv_s1.weight and {stage}.rebnconv1.conv_s1.weight",
        found=f"shapes {out or 'none'} and {mid or 'none'}",
        fix="use weights of a U²-Net with upstream's parameter names",
    )
