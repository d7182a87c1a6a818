"""The network's probability maps to masks of one size, on the device that they lie on: what postprocess.py gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from u2forge.pipeline.device_resample import resize_as_pillow_on_device
from u2forge.pipeline.device_tables import DeviceTables, TapsSlot
from u2forge.pipeline.postprocess import FLAT_RANGE
from u2forge.pipeline.resample_taps import PillowKernel, pillow_taps
from u2forge.profiles import PostProfile, PreProfile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DevicePostprocess:
    """What becomes of maps of one size. rows, columns: None where the size stays."""

    post: PostProfile
    rows: TapsSlot | None
    columns: TapsSlot | None

    @classmethod
    def planned(
        cls,
        tables: DeviceTables,
        *,
        size_in: tuple[int, int],
        size_out: tuple[int, int],
        post: PostProfile,
        pre: PreProfile,
    ) -> DevicePostprocess:
        """For maps of size_in (rows, columns) and pictures of size_out; its tables are added to `tables`."""
        kernel: PillowKernel = "lanczos" if pre == "rembg" else "bilinear"
        slots = [
            None if before == after else tables.add_taps(pillow_taps(before, after, kernel))
            for before, after in zip(size_in, size_out, strict=True)
        ]
        return cls(post, *slots)

    def masks(self, probability: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """(N, H, W) uint8 of (N, h, w) float32, each as postprocess, byte by byte; of NaN or inf, anything: nobody
        looks at the values here, who gets the maps has to. words: the tables."""
        import torch

        masks = resize_as_pillow_on_device(
            self._levels(probability),
            rows=None if self.rows is None else self.rows.opened(words),
            columns=None if self.columns is None else self.columns.opened(words),
        )
        return (masks >= 128).to(torch.uint8).mul_(255) if self.post == "threshold" else masks

    def _levels(self, probability: torch.Tensor) -> torch.Tensor:
        """(N, h, w) uint8, before they are enlarged."""
        import torch

        if self.post != "stretch":
            return (probability.clamp(0, 1) * 255).round_().to(torch.uint8)
        low, high = (reduce(dim=(1, 2), keepdim=True) for reduce in (probability.amin, probability.amax))
        span = high - low
        is_flat = span < FLAT_RANGE
        levels = ((probability - low) / (span + is_flat) * 255).to(torch.uint8)
        return levels * ~is_flat
