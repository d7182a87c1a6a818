"""A batch of pictures whose pre- and postprocessing an engine's device does: 8-bit pictures go there, 8-bit masks and
the small maps come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from u2forge.engine.protocol import DeviceEngine
from u2forge.pipeline.device_postprocess import DevicePostprocess
from u2forge.pipeline.device_preprocess import DevicePreprocess
from u2forge.pipeline.device_tables import DeviceTables
from u2forge.pipeline.picture_answer import PictureAnswer, Submission, check_maps
from u2forge.profiles import PostProfile, PreProfile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkOfPictures:
    """What the network takes and gives. size: (rows, columns) of its input and its map; batch_size: None where it takes
    any number; takes_pixels: it normalises 8-bit pixels itself."""

    size: tuple[int, int]
    batch_size: int | None
    takes_pixels: bool
    pre: PreProfile
    post: PostProfile


def submit_on_device(
    engine: DeviceEngine, network: NetworkOfPictures, pictures: Sequence[NDArray[np.uint8]]
) -> Submission:
    """Pictures (H, W, 3), each of its own size, to the engine; 1 to the batch size. A batch that the model fixes is
    filled up on the device, with the last picture's input."""
    batch = _DeviceBatch(engine, network, pictures)
    done = engine.submit_between([*pictures, batch.words], before=batch.before, after=batch.after)
    return Submission(done, lambda: batch.answers(done))


@dataclass(frozen=True)
class _SameSize:
    """Pictures of one size: what is done with all of them takes no more launches than with one. indices: of the
    batch."""

    indices: list[int]
    before: DevicePreprocess
    after: DevicePostprocess


class _DeviceBatch:
    """What is done with one batch before and after the network: on the engine's thread, waiting for nothing."""

    def __init__(
        self, engine: DeviceEngine, network: NetworkOfPictures, pictures: Sequence[NDArray[np.uint8]]
    ) -> None:
        self._info = engine.info
        self._network = network
        self._count = len(pictures)
        tables = DeviceTables()
        indices: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            indices.setdefault((picture.shape[0], picture.shape[1]), []).append(index)
        self._groups = [
            _SameSize(
                members,
                DevicePreprocess.planned(tables, size_in=size, size_out=network.size, profile=network.pre),
                DevicePostprocess.planned(
                    tables, size_in=network.size, size_out=size, post=network.post, pre=network.pre
                ),
            )
            for size, members in indices.items()
        ]
        self.words: NDArray[np.int64] = tables.words()
        self._words: torch.Tensor | None = None

    def before(self, arrays: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """The model's input of the pictures and the words of the tables."""
        import torch

        *pictures, words = arrays
        # A copy, for `after`: whether what an engine was given still lies there by then is its own affair.
        self._words = words.clone()
        prepared = list(pictures)
        for group in self._groups:
            rgb = _together([pictures[index] for index in group.indices])
            made = (
                group.before.pixels(rgb, words)
                if self._network.takes_pixels
                else group.before.planes(rgb, words)
            )
            for index, one in zip(group.indices, made, strict=True):
                prepared[index] = one
        missing = (self._network.batch_size or len(prepared)) - len(prepared)
        return {self._info.inputs[0].name: torch.stack([*prepared, *[prepared[-1]] * missing])}

    def after(self, outputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """The pictures' maps in one tensor, then each one's mask. Raises EngineError on an output of another shape."""
        fused = outputs[self._info.outputs[0].name]
        check_maps(
            fused.shape, dtype=str(fused.dtype), count=self._count, size=self._network.size, info=self._info
        )
        words, self._words = self._words, None
        assert words is not None
        maps = fused[: self._count, 0].float()
        masks = list(maps)
        for group in self._groups:
            made = group.after.masks(_together([maps[index] for index in group.indices]), words)
            for index, mask in zip(group.indices, made, strict=True):
                masks[index] = mask
        return [maps, *masks]

    def answers(self, done: Future[list[NDArray[Any]]]) -> list[PictureAnswer]:
        """What came back, by picture."""
        maps, *masks = done.result()
        # Views would keep the whole batch's maps in memory until its last picture is written.
        return [PictureAnswer(one.copy(), mask) for one, mask in zip(maps, masks, strict=True)]


def _together(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All in one; of one alone, which may be large, no copy."""
    import torch

    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))
