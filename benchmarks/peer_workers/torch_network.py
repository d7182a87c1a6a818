"""U²-Net in PyTorch, as upstream wrote it: a state dict under upstream's names → a module that gives the fused map.

Source: upstream model/u2net.py; the same modules in the same order, batch-norms and all. Widths are read from the
state dict, so that it serves the full and the small network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Convolutions from the top of each block to its bottom. RSU-4F dilates instead of pooling.
_DEPTHS = {1: 7, 2: 6, 3: 5, 4: 4}
_DILATIONS_4F = (1, 2, 4, 8)


def network_from(state: Mapping[str, Tensor]) -> nn.Module:
    """The module in inference mode, with these parameters. Raises RuntimeError where names or shapes do not fit."""
    network = _U2Net(state)
    # Upstream's batch-norms count their batches; a state dict of another origin need not.
    missing, unexpected = network.load_state_dict(dict(state), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise RuntimeError(f"missing {missing[:3]}, unexpected {unexpected[:3]}")
    return network.eval()


class _Convolution(nn.Module):
    """Upstream's REBNCONV."""

    def __init__(self, weight: Tensor, dilation: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        self.conv_s1 = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn_s1(self.conv_s1(x)))


class _Block(nn.Module):
    """Upstream's RSU7 to RSU4, by depth; RSU4F where `dilated`."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str, depth: int, *, dilated: bool) -> None:
        super().__init__()
        self.depth, self.dilated = depth, dilated
        down = _DILATIONS_4F if dilated else (*(1,) * (depth - 1), 2)
        dilations = {"in": 1, **{str(i): down[i - 1] for i in range(1, depth + 1)}}
        dilations |= {f"{i}d": down[i - 1] if dilated else 1 for i in range(depth - 1, 0, -1)}
        for name, dilation in dilations.items():
            weight = state[f"{prefix}.rebnconv{name}.conv_s1.weight"]
            self.add_module(f"rebnconv{name}", _Convolution(weight, dilation))

    def forward(self, x: Tensor) -> Tensor:
        layer = dict(self.named_children())
        top = layer["rebnconvin"](x)
        down = [layer["rebnconv1"](top)]
        for i in range(2, self.depth + 1):
            pooled = down[-1] if self.dilated or i == self.depth else _pool(down[-1])
            down.append(layer[f"rebnconv{i}"](pooled))
        up = down.pop()
        for i in range(self.depth - 1, 0, -1):
            beside = down.pop()
            up = layer[f"rebnconv{i}d"](torch.cat((_enlarge(up, beside), beside), 1))
        fused: Tensor = up + top
        return fused


class _U2Net(nn.Module):
    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("1", "2", "3", "4", "5", "6", "5d", "4d", "3d", "2d", "1d"):
            depth = _DEPTHS.get(int(name[0]))
            block = _Block(state, f"stage{name}", depth or 4, dilated=depth is None)
            self.add_module(f"stage{name}", block)
        for i in range(1, 7):
            inputs = state[f"side{i}.weight"].shape[1]
            self.add_module(f"side{i}", nn.Conv2d(inputs, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        layer = dict(self.named_children())
        encoded = [layer["stage1"](x)]
        for i in range(2, 7):
            encoded.append(layer[f"stage{i}"](_pool(encoded[-1])))
        up = encoded.pop()
        side_inputs = [up]
        for i in range(5, 0, -1):
            beside = encoded.pop()
            up = layer[f"stage{i}d"](torch.cat((_enlarge(up, beside), beside), 1))
            side_inputs.append(up)
        sides = [layer[f"side{i}"](one) for i, one in enumerate(reversed(side_inputs), start=1)]
        fused: Tensor = layer["outconv"](torch.cat([_enlarge(one, sides[0]) for one in sides], 1))
        return torch.sigmoid(fused)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
