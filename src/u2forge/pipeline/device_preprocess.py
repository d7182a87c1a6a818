"""Pixels of pictures of one size to the network's input, on the device that they lie on: what preprocess.py gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from u2forge.pipeline.device_resample import (
    resize_antialiased_on_device,
    resize_as_pillow_on_device,
    resize_bilinear_on_device,
)
from u2forge.pipeline.device_tables import DeviceTables, DeviceTaps, TableSlot, TapsSlot
from u2forge.pipeline.resample_taps import antialiased_taps, linear_taps, pillow_taps
from u2forge.profiles import MEAN_RGB, STD_RGB, PreProfile

if TYPE_CHECKING:
    import torch

_STD = np.array(STD_RGB)
_MEAN_BY_STD = np.array([mean / std for mean, std in zip(MEAN_RGB, STD_RGB, strict=True)], np.float32)


@dataclass(frozen=True)
class DevicePreprocess:
    """What becomes of pictures of one size. rows, columns: None where `rembg` keeps the size."""

    profile: PreProfile
    rows: TapsSlot | None
    columns: TapsSlot | None
    std: TableSlot
    mean_by_std: TableSlot

    @classmethod
    def planned(
        cls,
        tables: DeviceTables,
        *,
        size_in: tuple[int, int],
        size_out: tuple[int, int],
        profile: PreProfile,
    ) -> DevicePreprocess:
        """For pictures of size_in (rows, columns) and an input of size_out; its tables are added to `tables`."""
        return cls(
            profile,
            rows=_planned_taps(tables, size_in[0], size_out[0], profile),
            columns=_planned_taps(tables, size_in[1], size_out[1], profile),
            std=tables.add(_STD),
            mean_by_std=tables.add(_MEAN_BY_STD),
        )

    def planes(self, rgb: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) float32 of (N, H, W, 3) uint8, each as preprocess: bit by bit, but for `antialias`, whose
        resized pixels may differ by 1e-3 of 255. words: the tables."""
        resized = self._resized(rgb, words).float()
        peak = resized.amax(dim=(1, 2, 3), keepdim=True).double()
        peak = peak + (peak == 0)  # a black picture counts as zeros
        factor = (1.0 / (peak * self.std.opened(words))).float()
        return (resized * factor - self.mean_by_std.opened(words)).permute(0, 3, 1, 2)

    def pixels(self, rgb: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(N, h, w, 3) uint8, each as preprocess_uint8, with the same exception."""
        import torch

        return self._resized(rgb, words).round().to(torch.uint8)

    def _resized(self, rgb: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        rows, columns = (_opened(slot, words) for slot in (self.rows, self.columns))
        if self.profile == "rembg":
            return resize_as_pillow_on_device(rgb, rows=rows, columns=columns).float()
        assert rows is not None
        assert columns is not None
        if self.profile == "antialias":
            return resize_antialiased_on_device(rgb, rows=rows, columns=columns)
        return resize_bilinear_on_device(rgb, rows=rows, columns=columns)


def _planned_taps(tables: DeviceTables, size_in: int, size_out: int, profile: PreProfile) -> TapsSlot | None:
    if profile == "official":
        return tables.add_taps(linear_taps(size_in, size_out))
    if profile == "antialias":
        return tables.add_taps(antialiased_taps(size_in, size_out))
    return None if size_in == size_out else tables.add_taps(pillow_taps(size_in, size_out, "lanczos"))


def _opened(slot: TapsSlot | None, words: torch.Tensor) -> DeviceTaps | None:
    return None if slot is None else slot.opened(words)
