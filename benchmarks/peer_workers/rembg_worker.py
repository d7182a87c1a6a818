"""rembg in one process with its session kept: encoded pictures → encoded masks on disk, one after the other."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from worker_loop import Opened, answer_requests


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """A session of u2net, whose weights lie in the folder that holds the candidate's file."""
    # rembg reads both when it is imported or makes a session.
    os.environ["U2NET_HOME"] = str(Path(candidate["path"]).parent)
    os.environ["OMP_NUM_THREADS"] = str(candidate["threads"])
    import rembg
    from PIL import Image

    session = rembg.new_session("u2net", providers=["CPUExecutionProvider"])
    folder = tempfile.TemporaryDirectory(prefix="rembg-masks-")

    def run(photo: Path) -> Any:
        mask = rembg.remove(photo.read_bytes(), session=session, only_mask=True)
        (Path(folder.name) / f"{photo.stem}.png").write_bytes(mask)
        return mask

    return Opened(
        run=run,
        version=version("rembg"),
        executed="float32",
        items=[Path(path) for path in candidate["inputs"]],
        map_of=lambda mask: np.asarray(Image.open(BytesIO(mask)).convert("L")),
    )


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
