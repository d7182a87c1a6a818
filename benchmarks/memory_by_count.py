"""Peak memory of `u2forge infer` over 100, 300 and 1000 pictures: flat, or it leaks.

python benchmarks/memory_by_count.py ~/photos --json benchmarks/results/mine.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path

from folder_vs_rembg import SUFFIXES, u2forge_command
from machine import commit
from measured_process import run_measured
from u2forge.measure.machine import machine_facts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--precision", default="force_float16")
    parser.add_argument("--job", choices=("cutout", "mask"), default="cutout")
    parser.add_argument("--json", type=Path, help="write the record here")
    options = parser.parse_args()
    photos = [
        path for path in sorted(options.folder.expanduser().rglob("*")) if path.suffix.lower() in SUFFIXES
    ]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for count in [min(options.counts), *options.counts]:  # the first turn fills the caches
            folder = repeat_photos(photos, Path(name) / "photos", count)
            command = u2forge_command(folder, Path(name) / "out", options.precision, options.job)
            measured = run_measured(command, environment={}, log=Path(name) / "log")
            shutil.rmtree(Path(name) / "out")
            rows.append(
                {
                    "pictures": count,
                    "peak_mb": round(measured.peak_mb, 1),
                    "wall_s": round(measured.wall_s, 2),
                }
            )
            print(rows[-1], file=sys.stderr)
    record = {
        "benchmark": "memory_by_count",
        "commit": commit(),
        "precision": options.precision,
        "job": options.job,
        "machine": machine_facts(("u2forge", "openvino", "pillow", "numpy")),
        "results": rows[1:],
    }
    for row in rows[1:]:
        print(f"{row['pictures']:6d} pictures: peak {row['peak_mb']:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def repeat_photos(photos: list[Path], folder: Path, count: int) -> Path:
    """A folder with `count` copies of the photos, over and over, each under a name of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for index, photo in enumerate(itertools.islice(itertools.cycle(photos), count)):
        shutil.copyfile(photo, folder / f"{index:05d}_{photo.name}")
    return folder


if __name__ == "__main__":
    main()
