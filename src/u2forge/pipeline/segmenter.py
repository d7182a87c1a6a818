"""Segmenter: pictures to masks, on an engine that is open; keep one and use it for every picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.protocol import DeviceEngine, Engine
from u2forge.errors import ModelError, unknown_choice
from u2forge.model_file.manifest import Manifest
from u2forge.pipeline.device_batch import NetworkOfPictures, submit_on_device
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.picture_answer import PictureAnswer, Submission, check_maps
from u2forge.pipeline.postprocess import check_probability, postprocess
from u2forge.pipeline.preprocess import check_rgb, preprocess, preprocess_uint8
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile

# Rows and columns where a model leaves them open. Source: upstream u2net_test.py, RescaleT(320).
OFFICIAL_SIZE = 320
# Where a model takes any batch: beyond this, activations cost memory and gain no speed.
DYNAMIC_BATCH_SIZE = 8


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One picture's result. probability: (h, w) float32 in [0, 1], of the network's size; mask: (H, W) uint8,
    of the picture's size; stage_ms: preprocess, inference (the batch's time divided by its pictures), postprocess.
    Where the device does what goes before and after the network (DeviceEngine), that is a part of inference."""

    probability: NDArray[np.float32]
    mask: NDArray[np.uint8]
    stage_ms: Mapping[str, float]


class Segmenter:
    """An opened engine with the profiles for its pictures; None takes the manifest's. Safe in several threads.

    A picture's way: take, infer, mask; on a DeviceEngine its device does the work of the first and the last. The
    network's alone, on any engine: prepare, submit, maps.
    Raises InputError on an unknown profile, ModelError on a model of tensors."""

    def __init__(
        self,
        engine: Engine,
        manifest: Manifest,
        *,
        pre: PreProfile | None = None,
        post: PostProfile | None = None,
    ) -> None:
        own_pre, own_post = profiles_of(manifest)
        self.engine = engine
        self.manifest = manifest
        self.pre: PreProfile = own_pre if pre is None else pre
        self.post: PostProfile = own_post if post is None else post
        _check_profile("pre", self.pre, PRE_PROFILES)
        _check_profile("post", self.post, POST_PROFILES)
        self._input = engine.info.inputs[0]
        self._size = self._input.height or OFFICIAL_SIZE, self._input.width or OFFICIAL_SIZE
        self._network = NetworkOfPictures(
            self._size, self.batch_size, manifest.embedded_preprocessing, self.pre, self.post
        )
        # None where the host does what goes before and after the network.
        self._device_engine = engine if isinstance(engine, DeviceEngine) else None

    @property
    def batch_size(self) -> int | None:
        """Pictures in each inference, fixed by the model; None where it takes any number."""
        return self._input.batch_size

    def segment(self, picture: Picture) -> Segmentation:
        """The picture's probability map and mask. Raises EngineError."""
        return self.segment_batch([picture])[0]

    def segment_batch(self, pictures: Sequence[Picture]) -> list[Segmentation]:
        """Each picture's result, in order; each is normalised by its own maximum. Raises EngineError."""
        size = self.batch_size or DYNAMIC_BATCH_SIZE
        results: list[Segmentation] = []
        for start in range(0, len(pictures), size):
            results += self._segment_chunk(pictures[start : start + size])
        return results

    def take(self, picture: Picture) -> NDArray[Any]:
        """What `infer` takes of one picture: its own pixels where the device prepares them, else the network's
        input. Raises InputError on pixels of another kind."""
        if self._device_engine is None:
            return self.prepare(picture)
        check_rgb(picture.rgb)
        return np.ascontiguousarray(picture.rgb)

    def infer(self, taken: Sequence[NDArray[Any]]) -> Submission:
        """The pictures' answers to come; `mask` makes the masks of them. 1 to the batch size."""
        if self._device_engine is not None:
            return submit_on_device(self._device_engine, self._network, taken)
        done, count = self.submit(taken), len(taken)
        return Submission(done, lambda: [PictureAnswer(one) for one in self.maps(done.result(), count=count)])

    def mask(self, answer: PictureAnswer, *, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width) uint8, by the post profile. Raises EngineError on NaN or inf."""
        if answer.mask is not None:
            check_probability(answer.probability)
            return answer.mask
        return postprocess(answer.probability, height=height, width=width, post=self.post, pre=self.pre)

    def prepare(self, picture: Picture) -> NDArray[Any]:
        """What the network takes of one picture: (3, h, w) float32, or (h, w, 3) uint8 where it normalises
        itself."""
        height, width = self._size
        if self.manifest.embedded_preprocessing:
            return preprocess_uint8(picture.rgb, height=height, width=width, profile=self.pre)
        return preprocess(picture.rgb, height=height, width=width, profile=self.pre)

    def submit(self, prepared: Sequence[NDArray[Any]]) -> Future[dict[str, NDArray[Any]]]:
        """The network's answer to come, of prepared pictures: 1 to the batch size; `maps` takes it apart.

        A batch that the model fixes is filled up with the last picture, again and again.
        """
        missing = (self.batch_size or len(prepared)) - len(prepared)
        batch = np.stack([*prepared, *[prepared[-1]] * missing])
        return self.engine.submit({self._input.name: batch})

    def maps(self, answer: Mapping[str, NDArray[Any]], *, count: int) -> list[NDArray[np.float32]]:
        """The first `count` probability maps (h, w) of a network's answer, each in memory of its own."""
        fused = answer[self.engine.info.outputs[0].name]
        check_maps(fused.shape, dtype=str(fused.dtype), count=count, size=None, info=self.engine.info)
        if fused.shape[0] == 1:
            return [fused[0, 0]]
        # Views would keep the whole batch in memory until its last picture is written.
        return [fused[index, 0].copy() for index in range(count)]

    def warm_up(self) -> None:
        """Runs one inference that nobody times: the first one allocates. Raises EngineError."""
        self.segment(Picture(np.zeros((8, 8, 3), np.uint8), None, None, None, "warm-up"))

    def close(self) -> None:
        """Closes the engine."""
        self.engine.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _segment_chunk(self, pictures: Sequence[Picture]) -> list[Segmentation]:
        taken, preprocess_ms = [], []
        for picture in pictures:
            start = time.perf_counter()
            taken.append(self.take(picture))
            preprocess_ms.append(ms_since(start))
        start = time.perf_counter()
        answers = self.infer(taken).answers()
        inference_ms = ms_since(start) / len(pictures)
        results = []
        for picture, answer, before_ms in zip(pictures, answers, preprocess_ms, strict=True):
            start = time.perf_counter()
            mask = self.mask(answer, height=picture.height, width=picture.width)
            stage_ms = {"preprocess": before_ms, "inference": inference_ms, "postprocess": ms_since(start)}
            results.append(Segmentation(probability=answer.probability, mask=mask, stage_ms=stage_ms))
        return results


def profiles_of(manifest: Manifest) -> tuple[PreProfile, PostProfile]:
    """The model's own profiles. Raises ModelError where it is a model of tensors, which has none."""
    if manifest.pre is not None and manifest.post is not None:
        return manifest.pre, manifest.post
    raise ModelError(
        where=f"model {manifest.name!r} ({manifest.architecture})",
        expected="a model of pictures: a U²-Net that `u2forge build` wrote",
        found=f"a model of tensors ({manifest.inputs[0]} …): nothing says what a picture means to it",
        fix="run it with the program that it was built for (`u2forge magicmind run`); `u2forge inspect`, "
        "`u2forge perf` and mm_run take it, too",
    )


def _check_profile(argument: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise unknown_choice(value, valid, where=f"Segmenter, argument {argument!r}")
