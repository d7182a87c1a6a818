"""A folder of photos to masks through the product's own pipeline on the engine cuda, and each part of it alone."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_candidates import Place
from gpu_models import FLOAT16
from gpu_time import RunTime
from u2forge.atomic_file import write_atomic
from u2forge.engine.cuda_engine import open_cuda
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import EngineOptions
from u2forge.pipeline.encode_picture import encode_picture
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.picture_answer import Submission
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.segmenter import Segmenter

# Decoded photos that are kept in memory for the GPU alone.
_IN_MEMORY = 128
_IN_FLIGHT = 4
_MASKS = 8


def measured_folder(
    place: Place, photos: Path, folder: Path, *, count: int, batch_size: int, run_time: RunTime
) -> dict[str, Any]:
    """Pictures a second of the whole, in float16; of decoding alone, encoding alone, and the device alone on decoded
    pictures; and which of them limits."""
    workers = usable_processors()
    sources = _copies(photos, folder / "photos", count)
    model = place.models.files[FLOAT16]
    options = EngineOptions(device=str(place.device), cache_folder=place.folder)
    with (
        Segmenter(open_cuda(model, options), model.manifest) as segmenter,
        ThreadPoolExecutor(workers) as pool,
    ):
        pictures = list(pool.map(read_picture, sources[:_IN_MEMORY]))
        _device_alone(segmenter, pictures, batch_size, least=3 * _IN_FLIGHT * batch_size)  # captures
        masks = [found.mask for found in segmenter.segment_batch(pictures[:_MASKS])]
        rates: dict[str, float] = {}
        for name, work in {
            "device": lambda: _device_alone(segmenter, pictures, batch_size, least=count),
            "decode": lambda: _counted(pool.map(_decoded, sources)),
            "encode": lambda: _encoded(masks, folder / "encoded", count, pool),
        }.items():
            rates[name] = _rate(work)
            run_time.say(f"folder, {name} alone: {rates[name]:.1f} pictures/s")
        start = time.perf_counter()
        with segment_folder(
            segmenter,
            collect_inputs([folder / "photos"]),
            folder / "masks",
            options=FolderOptions(workers=workers, batch_size=batch_size),
        ) as reports:
            done = sum(report.status == "done" for report in reports)
            summary = reports.summary
        rates["whole"] = done / (time.perf_counter() - start)
    run_time.say(f"folder, all of it: {rates['whole']:.1f} pictures/s")
    # Decoding and encoding share the processor's threads.
    processor = 1 / (1 / rates["decode"] + 1 / rates["encode"])
    limit = min(processor, rates["device"])
    return {
        "pictures": count,
        "done": done,
        "megapixels_each": round(
            float(np.mean([p.rgb.shape[0] * p.rgb.shape[1] for p in pictures])) / 1e6, 3
        ),
        "batch_size": batch_size,
        "workers": workers,
        "arithmetic": segmenter.engine.info.precision_executed,
        "pictures_per_s": {name: round(rate, 2) for name, rate in rates.items()},
        "processor_pictures_per_s": round(processor, 2),
        "limited_by": "processor" if processor < rates["device"] else "device",
        "whole_of_limit": round(rates["whole"] / limit, 4),
        "stage_ms": {name: round(ms, 1) for name, ms in summary.stage_ms.items()},
    }


def _copies(photos: Path, target: Path, count: int) -> list[Path]:
    """So many files of the photos, again and again; linked where that is possible."""
    found = [item.path for item in collect_inputs([photos])]
    target.mkdir(parents=True)
    made = []
    for index in range(count):
        source = found[index % len(found)].resolve()
        made.append(target / f"{index:06d}{source.suffix}")
        try:
            os.link(source, made[-1])
        except OSError:  # another file system
            shutil.copyfile(source, made[-1])
    return made


def _rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - start)


def _counted(results: Iterable[object]) -> int:
    return sum(1 for _ in results)


def _decoded(path: Path) -> None:
    read_picture(path)


def _device_alone(segmenter: Segmenter, pictures: Sequence[Picture], batch_size: int, *, least: int) -> int:
    """At least so many pictures, whole batches; copies to and fro, pre- and postprocessing included."""
    batches = [
        [segmenter.take(pictures[(start + at) % len(pictures)]) for at in range(batch_size)]
        for start in range(0, max(len(pictures), batch_size), batch_size)
    ]
    waiting: deque[Submission] = deque()
    done = 0
    for index in range(-(-least // batch_size)):
        waiting.append(segmenter.infer(batches[index % len(batches)]))
        if len(waiting) >= _IN_FLIGHT:
            done += len(waiting.popleft().answers())
    return done + sum(len(submission.answers()) for submission in waiting)


def _encoded(masks: Sequence[NDArray[np.uint8]], target: Path, count: int, pool: ThreadPoolExecutor) -> int:
    """The masks, written again and again, as the pipeline writes them."""
    target.mkdir()

    def write(index: int) -> None:
        data = encode_picture(
            masks[index % len(masks)], format="png", quality=None, icc_profile=None, exif=None
        )
        write_atomic(target / f"{index}.png", data)

    return _counted(pool.map(write, range(count)))
