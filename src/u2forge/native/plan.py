"""Plan: what the native kernels execute, step by step: on which buffers, with which arrays of the packed weights.

Buffers hold one picture's worth; a batch is so many of them. Their layouts:

- planar: float32 (channels, height, width): pictures, and logits with few channels.
- blocked: channels in groups of 16, each group zero-padded by whoever packs the weights; concatenation is placement:
  each part of a joined buffer begins at a group of its own. How the groups lie in memory is the kernels' affair.
  Blocked values are never negative: each comes from a rectified convolution, or from pooling, adding, upsampling such.
- pixels: uint8 (height, width, channels), RGB, as pictures come where the graph normalises them itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

GROUP = 16


class Layout(IntEnum):
    PLANAR = 0
    BLOCKED = 1
    PIXELS = 2


class Kind(IntEnum):
    """normalize: pixels → planar; each picture divided by its largest value (at least 1), then scaled and shifted.
    first_convolution: 3×3, planar → blocked. convolution: 3×3, blocked → blocked. side_convolution: 3×3, blocked →
    planar, no rectification. pointwise_convolution: 1×1, planar → planar. pool: 2×2, stride 2, last row and column
    kept (ceil). resize: bilinear, half-pixel centres (ONNX pytorch_half_pixel). add, copy: blocked."""

    NORMALIZE = 0
    FIRST_CONVOLUTION = 1
    CONVOLUTION = 2
    SIDE_CONVOLUTION = 3
    POINTWISE_CONVOLUTION = 4
    POOL = 5
    RESIZE = 6
    RESIZE_PLANAR = 7
    ADD = 8
    COPY = 9
    COPY_PLANAR = 10
    SIGMOID = 11


class Algorithm(IntEnum):
    """How a 3×3 convolution is computed. WINOGRAD: F(4×4, 3×3); WINOGRAD_6X6: F(6×6, 3×3)."""

    DIRECT = 0
    WINOGRAD = 1
    WINOGRAD_6X6 = 2

    @property
    def factors(self) -> int:
        """The numbers that a kernel's nine weights become."""
        return (9, 36, 64)[self]


@dataclass(frozen=True)
class Buffer:
    """count: channels of a planar or pixels buffer, groups of a blocked one. input_index, output_index: which input
    or output of the model it is."""

    layout: Layout
    count: int
    height: int
    width: int
    input_index: int | None = None
    output_index: int | None = None


@dataclass(frozen=True)
class View:
    """`count` channels (planar) or groups (blocked) of a buffer, from `first` on."""

    buffer: int
    first: int
    count: int


@dataclass(frozen=True)
class Offsets:
    """Where a step's arrays begin in the packed weights, in bytes; None: it has no such array. Each is aligned to 64.

    multiplier, addend, residual_multiplier: float32, one for each channel of the output, the padding included
    (but of a side or pointwise convolution, and of normalize: one for each real channel).
    """

    weights: int | None = None
    multiplier: int | None = None
    addend: int | None = None
    residual_multiplier: int | None = None


@dataclass(frozen=True)
class Step:
    """One step. source, target: the view read and written; residual: added after rectification (of ADD: its second
    operand); pooled: where the target's 2×2 maximum goes, too. dilation: of a 3×3, which pads by as much.
    eight_pairs: int16 only: the largest sum of magnitudes of weights that eight pairs of inputs meet, from a group's
    first on."""

    kind: Kind
    name: str
    source: View
    target: View
    residual: View | None = None
    pooled: View | None = None
    algorithm: Algorithm = Algorithm.DIRECT
    dilation: int = 1
    eight_pairs: int = 0
    offsets: Offsets = field(default_factory=Offsets)


@dataclass(frozen=True)
class Plan:
    """steps in the order of execution. precision: float32, bfloat16 or int16: what the convolutions compute in."""

    precision: str
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
