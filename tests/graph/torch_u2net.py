"""Upstream's network in PyTorch, as an oracle that shares no code with u2forge's tables.

Source: upstream model/u2net.py; the same modules under the same names, the forward methods written as loops.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class REBNCONV(nn.Module):
    def __init__(self, ins: int, outs: int, dirate: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(ins, outs, 3, padding=dirate, dilation=dirate)
        self.bn_s1 = nn.BatchNorm2d(outs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn_s1(self.conv_s1(x)))


def upsample_like(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


class RSU(nn.Module):
    """RSU7 to RSU4, by depth."""

    def __init__(self, depth: int, ins: int, mid: int, outs: int) -> None:
        super().__init__()
        self.depth = depth
        self.rebnconvin = REBNCONV(ins, outs)
        self.rebnconv1 = REBNCONV(outs, mid)
        for i in range(2, depth):
            self.add_module(f"rebnconv{i}", REBNCONV(mid, mid))
        self.add_module(f"rebnconv{depth}", REBNCONV(mid, mid, dirate=2))
        for i in range(depth - 1, 1, -1):
            self.add_module(f"rebnconv{i}d", REBNCONV(mid * 2, mid))
        self.rebnconv1d = REBNCONV(mid * 2, outs)

    def forward(self, x: Tensor) -> Tensor:
        block = dict(self.named_children())
        hxin = self.rebnconvin(x)
        hx = [self.rebnconv1(hxin)]
        for i in range(2, self.depth):
            hx.append(block[f"rebnconv{i}"](pool(hx[-1])))
        up = block[f"rebnconv{self.depth}"](hx[-1])
        for i in range(self.depth - 1, 0, -1):
            if i < self.depth - 1:
                up = upsample_like(up, hx[i - 1])
            up = block[f"rebnconv{i}d"](torch.cat((up, hx[i - 1]), 1))
        return up + hxin


class RSU4F(nn.Module):
    def __init__(self, ins: int, mid: int, outs: int) -> None:
        super().__init__()
        self.rebnconvin = REBNCONV(ins, outs, 1)
        self.rebnconv1 = REBNCONV(outs, mid, 1)
        self.rebnconv2 = REBNCONV(mid, mid, 2)
        self.rebnconv3 = REBNCONV(mid, mid, 4)
        self.rebnconv4 = REBNCONV(mid, mid, 8)
        self.rebnconv3d = REBNCONV(mid * 2, mid, 4)
        self.rebnconv2d = REBNCONV(mid * 2, mid, 2)
        self.rebnconv1d = REBNCONV(mid * 2, outs, 1)

    def forward(self, x: Tensor) -> Tensor:
        hxin = self.rebnconvin(x)
        hx1 = self.rebnconv1(hxin)
        hx2 = self.rebnconv2(hx1)
        hx3 = self.rebnconv3(hx2)
        hx4 = self.rebnconv4(hx3)
        hx3d = self.rebnconv3d(torch.cat((hx4, hx3), 1))
        hx2d = self.rebnconv2d(torch.cat((hx3d, hx2), 1))
        hx1d = self.rebnconv1d(torch.cat((hx2d, hx1), 1))
        return hx1d + hxin


class U2NET(nn.Module):
    """mids, outs: of stage1 … stage6, stage5d … stage1d."""

    def __init__(self, mids: tuple[int, ...], outs: tuple[int, ...]) -> None:
        super().__init__()
        o1, o2, o3, o4, o5, o6, o5d, o4d, o3d, o2d, o1d = outs
        m = iter(mids)
        self.stage1 = RSU(7, 3, next(m), o1)
        self.stage2 = RSU(6, o1, next(m), o2)
        self.stage3 = RSU(5, o2, next(m), o3)
        self.stage4 = RSU(4, o3, next(m), o4)
        self.stage5 = RSU4F(o4, next(m), o5)
        self.stage6 = RSU4F(o5, next(m), o6)
        self.stage5d = RSU4F(o6 + o5, next(m), o5d)
        self.stage4d = RSU(4, o5d + o4, next(m), o4d)
        self.stage3d = RSU(5, o4d + o3, next(m), o3d)
        self.stage2d = RSU(6, o3d + o2, next(m), o2d)
        self.stage1d = RSU(7, o2d + o1, next(m), o1d)
        self.side1 = nn.Conv2d(o1d, 1, 3, padding=1)
        self.side2 = nn.Conv2d(o2d, 1, 3, padding=1)
        self.side3 = nn.Conv2d(o3d, 1, 3, padding=1)
        self.side4 = nn.Conv2d(o4d, 1, 3, padding=1)
        self.side5 = nn.Conv2d(o5d, 1, 3, padding=1)
        self.side6 = nn.Conv2d(o6, 1, 3, padding=1)
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        hx1 = self.stage1(x)
        hx2 = self.stage2(pool(hx1))
        hx3 = self.stage3(pool(hx2))
        hx4 = self.stage4(pool(hx3))
        hx5 = self.stage5(pool(hx4))
        hx6 = self.stage6(pool(hx5))
        hx5d = self.stage5d(torch.cat((upsample_like(hx6, hx5), hx5), 1))
        hx4d = self.stage4d(torch.cat((upsample_like(hx5d, hx4), hx4), 1))
        hx3d = self.stage3d(torch.cat((upsample_like(hx4d, hx3), hx3), 1))
        hx2d = self.stage2d(torch.cat((upsample_like(hx3d, hx2), hx2), 1))
        hx1d = self.stage1d(torch.cat((upsample_like(hx2d, hx1), hx1), 1))
        d1 = self.side1(hx1d)
        d2 = upsample_like(self.side2(hx2d), d1)
        d3 = upsample_like(self.side3(hx3d), d1)
        d4 = upsample_like(self.side4(hx4d), d1)
        d5 = upsample_like(self.side5(hx5d), d1)
        d6 = upsample_like(self.side6(hx6), d1)
        d0 = self.outconv(torch.cat((d1, d2, d3, d4, d5, d6), 1))
        return tuple(torch.sigmoid(d) for d in (d0, d1, d2, d3, d4, d5, d6))
