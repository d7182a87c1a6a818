"""Runs a folder through the fake engine in a process of its own, for tests that kill or interrupt it.

folder_program.py PHOTOS OUT EXISTING SECONDS: prints one JSON line a report; SECONDS for each inference.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from fake_engine import FakeEngine, fake_segmenter

from u2forge.errors import U2ForgeError
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.inputs import collect_inputs


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    # A shell's background jobs are born with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    photos, out, existing, delay = sys.argv[1:]
    segmenter = fake_segmenter(FakeEngine(delay_s=float(delay)))
    options = FolderOptions(workers=2, existing=existing)  # type: ignore[arg-type]
    try:
        with segment_folder(segmenter, collect_inputs([photos]), Path(out), options=options) as run:
            say("started")
            for report in run:
                say(json.dumps(report.as_dict()))
    except KeyboardInterrupt:
        return 130
    except U2ForgeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
