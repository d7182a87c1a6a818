"""The record of the job that filled an output folder, and the lock that keeps a second run out of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from u2forge.atomic_file import write_atomic
from u2forge.errors import InputError, OutputError
from u2forge.model_file.manifest import Manifest
from u2forge.pipeline.background import Background
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter
from u2forge.pipeline.walk_folder import RECORD_NAME

ExistingPolicy = Literal["refuse", "resume", "replace"]
EXISTING_POLICIES: tuple[ExistingPolicy, ...] = get_args(ExistingPolicy)
LOCK_NAME = ".u2forge-job.lock"
RECORD_VERSION = 1

Options = Mapping[str, str | int | None]
_logger = logging.getLogger(__name__)


class JobLock:
    """Held while a run writes into `folder` (which is made). Raises OutputError where another run holds
    it."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # thread_local: whichever thread ends the run lets go of the lock.
            self._lock = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False)
            self._lock.acquire()
        except Timeout as error:
            raise OutputError(
                where=f"output folder {folder}",
                expected="no other run that writes into it",
                found="another u2forge run at work there",
                fix="wait for its end, or name another output folder",
            ) from error
        except NotImplementedError:
            _logger.warning("%s: no file locks here; do not start a second run into it", folder)
        except OSError as error:
            raise OutputError(
                where=f"output folder {folder}",
                expected="a folder that may be written to",
                found=error.strerror or str(error),
                fix="name another output folder, or allow writing there",
            ) from error

    def release(self) -> None:
        """Lets the next run in; a second call does nothing."""
        self._lock.release()


def job_options(segmenter: Segmenter, render: RenderOptions) -> dict[str, str | int | None]:
    """All that decides what a result looks like, as the record keeps it; not how fast, where or by which
    engine."""
    return {
        "model": _model_digest(segmenter.manifest),
        "pre": segmenter.pre,
        "post": segmenter.post,
        "output": render.output,
        "format": render.format,
        "quality": render.quality,
        "background": _background_name(render.background),
    }


def write_record(folder: Path, options: Options) -> None:
    """Writes what the job in `folder` is, atomically; its time is the job's start. Raises OutputError."""
    record = {"version": RECORD_VERSION, "options": dict(options)}
    write_atomic(folder / RECORD_NAME, json.dumps(record, indent=1).encode() + b"\n")


def check_record(folder: Path, options: Options) -> int | None:
    """The start of the job that `folder` holds, in nanoseconds since the epoch; None where it holds no
    record. Raises InputError where that job had other options, or its record is broken."""
    path = folder / RECORD_NAME
    try:
        record = json.loads(path.read_bytes())
        started_ns = path.stat().st_mtime_ns
        there = dict(record["options"])
        version = record["version"]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError, OSError) as error:
        raise _not_resumable(folder, "a record of its job", f"a broken {RECORD_NAME}") from error
    if version != RECORD_VERSION:
        raise _not_resumable(folder, f"a job record of version {RECORD_VERSION}", f"version {version}")
    names = [name for name in {**options, **there} if options.get(name) != there.get(name)]
    if names:
        asked = ", ".join(f"{name} {_shown(options.get(name))}" for name in names)
        found = ", ".join(f"{name} {_shown(there.get(name))}" for name in names)
        raise _not_resumable(folder, f"results made with {asked}", f"results made with {found}")
    return started_ns


def _not_resumable(folder: Path, expected: str, found: str) -> InputError:
    return InputError(
        where=f"resuming in {folder}",
        expected=expected,
        found=found,
        fix="resume with that job's options, name another output folder, or replace all (--existing replace)",
    )


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)


def _model_digest(manifest: Manifest) -> str:
    """A name of the model with a digest of its manifest; the batch size and the tools' versions change no
    result."""
    facts = dataclasses.asdict(manifest)
    for left_out in ("tools", "pre", "post"):
        del facts[left_out]
    for tensor in (*facts["inputs"], *facts["outputs"]):
        tensor["shape"] = tensor["shape"][1:]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{manifest.name} {manifest.precision} {digest[:16]}"


def _background_name(background: Background | None) -> str | None:
    if background is None:
        return None
    picture = background.picture
    if picture is None:
        return f"colour {background.colour}"
    digest = hashlib.sha256(picture.rgb.tobytes())
    if picture.alpha is not None:
        digest.update(picture.alpha.tobytes())
    return f"picture sha256 {digest.hexdigest()[:16]}, colour {background.colour}"
