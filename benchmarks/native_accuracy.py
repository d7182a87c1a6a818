"""How near the native engine's maps are to OpenVINO's float32: on photos, by ground truth, on pictures far from any.

    python benchmarks/native_accuracy.py DATASET --calibration ~/photos --work /tmp/work --docs

DATASET: a folder that `u2forge eval` knows, none of whose pictures calibrated or tuned anything that is measured.

- Photos: of its pictures, sorted by name and without those that --skip-used lists, every fifth from the third on
  (--every, --offset), at most --count. Their stretched maps are compared, a picture's difference being the mean of its
  pixels'.
- Ground truth: the mean absolute error of the masks of all pictures, as the protocol `paper` of `u2forge eval` has it.
- Far pictures: far_pictures.py, compared unstretched, as a flat map must not be stretched.

OpenVINO's float32 maps are kept in --work, as float32: half precision rounds near 1 by more than is to be seen here.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import u2forge
from far_pictures import far_pictures
from machine import commit
from native_document import check_section, table, write_section
from own_models import DEFAULT_WORK
from peer_models import ModelFolder, folder_name, make_model
from u2forge.engine.processor import usable_processors
from u2forge.evaluate.datasets import Pair, find_dataset
from u2forge.evaluate.grey_mask import grey_of
from u2forge.evaluate.level_counts import level_counts
from u2forge.evaluate.level_scale import divided_by_maximum
from u2forge.evaluate.mae import mean_absolute_error
from u2forge.evaluate.parity import parity
from u2forge.measure.machine import machine_facts
from u2forge.model_file.read import open_model_file
from u2forge.pipeline.postprocess import postprocess, stretch
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture
from write_record import check_place, write_record

HERE = Path(__file__).resolve().parent
SIZE = 320
# The protocol `paper`: above it the truth is foreground.
DARKEST = 127
REFERENCE = ("openvino", "force_float32")
# Compared with it on photos; the first two on all pictures' ground truth too.
CANDIDATES = (
    ("native", "force_float32"),
    ("native", "qint16_mixed_float32"),
    ("native", "force_float16"),
    ("openvino", "qint8_mixed_float32"),
)
SCORED = CANDIDATES[:2]
FAR = CANDIDATES[:2]
Run = Callable[[Any], Any]


def main() -> None:
    options = parse_options()
    check_place(options.json)
    if options.docs:
        check_section("native accuracy")
    pairs = find_dataset(options.dataset).pairs[: options.limit]
    chosen = chosen_pairs(pairs, options)
    record: dict[str, Any] = {
        "benchmark": "native_accuracy",
        "commit": commit(),
        "dataset": options.dataset.resolve().name,
        "rule": {"every": options.every, "offset": options.offset, "skipped": sorted(skipped(options))},
        "calibration": "demo" if options.calibration is None else folder_name(options.calibration),
        "threads": options.threads,
        "machine": machine_facts(("u2forge", "openvino", "numpy", "pillow")),
    }
    with ExitStack() as stack:
        engines = Engines(options, stack)
        record["photos"] = compare_photos(engines, chosen)
        record["far_pictures"] = compare_far(engines, options.far_count, [pair.photo for pair in chosen])
        record["ground_truth"] = score(engines, pairs)
        record["executed"] = engines.executed
    write_record(options.json, record)
    print(tables(record))
    if options.docs:
        write_section("native accuracy", tables(record), record, options.json)


def parse_options() -> argparse.Namespace:
    today = datetime.now(timezone.utc).date().isoformat()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized models")
    parser.add_argument(
        "--skip-used", type=Path, metavar="FILE", help="names of photos to leave out, one a line"
    )
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--offset", type=int, default=2)
    parser.add_argument("--count", type=int, default=200, help="at most so many photos")
    parser.add_argument("--far-count", type=int, default=200, help="so many far pictures")
    parser.add_argument("--limit", type=int, help="only so many pictures of the data set, the first ones")
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models and maps are kept here")
    parser.add_argument(
        "--json",
        type=Path,
        default=HERE / "results" / f"{today}_native_accuracy.json",
        help="the record's place",
    )
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/native.md too")
    return parser.parse_args()


def skipped(options: argparse.Namespace) -> set[str]:
    """Names, without suffix, of the photos that --skip-used lists."""
    if options.skip_used is None:
        return set()
    lines = options.skip_used.read_text(encoding="utf-8").split("\n")
    return {Path(line.strip()).stem for line in lines if line.strip()}


def chosen_pairs(pairs: Sequence[Pair], options: argparse.Namespace) -> list[Pair]:
    used = skipped(options)
    left = [pair for pair in pairs if Path(pair.name).stem not in used]
    chosen = left[options.offset :: options.every][: options.count]
    if not chosen:
        raise SystemExit(f"no picture of {options.dataset} is left")
    return chosen


class Engines:
    """Each opened once, when it is first asked for. executed: what each runs in, by its engine and mode."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._folder = ModelFolder(options.work, options.work, options.calibration)
        self._open: dict[tuple[str, str], Run] = {}
        self.executed: dict[str, str] = {}

    def run(self, which: tuple[str, str], picture: Any) -> Any:
        """(320, 320) float32: the map of a picture, (H, W, 3) uint8."""
        if which not in self._open:
            self._open[which] = self._opened(*which)
        return self._open[which](preprocess(picture, height=SIZE, width=SIZE, profile="official"))

    def reference(self, picture: Any) -> Any:
        """The map of REFERENCE, out of --work where it is there."""
        digest = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
        path = self._maps() / f"{digest.hexdigest()[:32]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npy")
            np.save(part, self.run(REFERENCE, picture))
            part.replace(path)
        return np.load(path)

    def _maps(self) -> Path:
        model = open_model_file(make_model(REFERENCE[1], self._folder))
        return self._options.work / f"maps-{REFERENCE[0]}-{model.content_sha256[:16]}"

    def _opened(self, engine: str, mode: str) -> Run:
        segmenter = self._stack.enter_context(
            u2forge.open_segmenter(
                make_model(mode, self._folder), engine=engine, threads=self._options.threads
            )
        )
        info = segmenter.engine.info
        self.executed[f"{engine} {mode}"] = info.precision_executed
        name = info.inputs[0].name
        return lambda prepared: segmenter.engine.run({name: prepared[None]})["d0"][0, 0]


def compare_photos(engines: Engines, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Of each candidate the differences of the stretched maps: mean, median, worst and which photo's."""
    found: dict[tuple[str, str], list[float]] = {which: [] for which in CANDIDATES}
    for pair in tqdm(pairs, "photos", unit="photo"):
        picture = read_picture(pair.photo).rgb
        expected = stretch(engines.reference(picture))
        for which in CANDIDATES:
            found[which].append(parity(expected, stretch(engines.run(which, picture))).mean_difference)
    names = [pair.name for pair in pairs]
    return [_summary(f"{engine} {mode}", found[engine, mode], names) for engine, mode in CANDIDATES]


def _summary(candidate: str, differences: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    worst = int(np.argmax(differences))
    return {
        "candidate": candidate,
        "pictures": len(differences),
        "mean": float(np.mean(differences)),
        "median": float(np.median(differences)),
        "p99": float(np.percentile(differences, 99)),
        "worst": differences[worst],
        "worst_picture": names[worst],
        "differences": {name: round(value, 8) for name, value in zip(names, differences, strict=True)},
    }


def compare_far(engines: Engines, count: int, photos: Sequence[Path]) -> dict[str, Any]:
    """Of each of FAR the differences of the maps as they are: of all and by kind."""
    kinds, names = [], []
    found: dict[tuple[str, str], list[float]] = {which: [] for which in FAR}
    pixels: dict[tuple[str, str], list[float]] = {which: [] for which in FAR}
    largest = []
    for kind, name, picture in tqdm(far_pictures(count, photos), "far pictures", total=count, unit="picture"):
        kinds.append(kind)
        names.append(name)
        expected = engines.reference(picture)
        largest.append(float(expected.max()))
        for which in FAR:
            difference = np.abs(engines.run(which, picture).astype(np.float64) - expected)
            found[which].append(float(difference.mean()))
            pixels[which].append(float(difference.max()))
    if not names:
        return {}
    return {
        "largest_probability": dict(zip(names, (round(one, 5) for one in largest), strict=True)),
        "candidates": [
            {
                **_summary(f"{which[0]} {which[1]}", found[which], names),
                "worst_pixel": max(pixels[which]),
                "kinds": [
                    {
                        "kind": kind,
                        "pictures": len(at),
                        "mean": float(np.mean([found[which][i] for i in at])),
                        "worst": max(found[which][i] for i in at),
                        "worst_pixel": max(pixels[which][i] for i in at),
                    }
                    for kind in dict.fromkeys(kinds)
                    for at in [[i for i, one in enumerate(kinds) if one == kind]]
                ],
            }
            for which in FAR
        ],
    }


def score(engines: Engines, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The mean absolute error of each of SCORED over all pictures, how much it is above the first one's, and on which
    picture they are furthest apart."""
    errors: dict[tuple[str, str], list[float]] = {which: [] for which in SCORED}
    for pair in tqdm(pairs, "ground truth", unit="picture"):
        picture, truth = read_picture(pair.photo).rgb, grey_of(read_picture(pair.mask))
        if truth is None:
            raise SystemExit(f"{pair.mask} is not grey")
        for which in SCORED:
            errors[which].append(_error(engines.run(which, picture), truth))
    means = {which: float(np.mean(values)) for which, values in errors.items()}
    rows = []
    for which in SCORED:
        above = [own - base for own, base in zip(errors[which], errors[SCORED[0]], strict=True)]
        worst = int(np.argmax(np.abs(above)))
        rows.append(
            {
                "candidate": f"{which[0]} {which[1]}",
                "pictures": len(pairs),
                "mae": means[which],
                "above_float32": means[which] - means[SCORED[0]],
                "most_apart": above[worst],
                "most_apart_picture": pairs[worst].name,
            }
        )
    return rows


def _error(probability: Any, truth: Any) -> float:
    height, width = truth.shape
    mask = postprocess(probability, height=height, width=width, post="stretch", pre="official")
    return mean_absolute_error(level_counts(mask, truth > DARKEST), divided_by_maximum(mask).values)


def tables(record: Mapping[str, Any]) -> str:
    """In Markdown."""
    executed = record["executed"]
    photos = table(
        ("photos", "ran in", "pictures", "mean difference", "median", "99 %", "worst"),
        [
            (*_called(row, executed), *_numbers(row, ("mean", "median", "p99", "worst")))
            for row in record["photos"]
        ],
    )
    truth = table(
        ("ground truth", "ran in", "pictures", "MAE", "above float32's", "most on one picture"),
        [
            (
                *_called(row, executed),
                f"{row['mae']:.6f}",
                f"{row['above_float32']:+.6f}",
                f"{row['most_apart']:+.4f}",
            )
            for row in record["ground_truth"]
        ],
    )
    return "\n\n".join((photos, truth, *_far_tables(record["far_pictures"], executed)))


def _far_tables(far: Mapping[str, Any], executed: Mapping[str, str]) -> Iterator[str]:
    if not far:
        return
    yield table(
        ("far pictures", "ran in", "pictures", "mean difference", "worst", "which", "worst pixel"),
        [
            (
                *_called(row, executed),
                *_numbers(row, ("mean", "worst")),
                row["worst_picture"],
                f"{row['worst_pixel']:.4f}",
            )
            for row in far["candidates"]
        ],
    )
    (of_int16,) = (row for row in far["candidates"] if "qint16" in row["candidate"])
    yield table(
        ("far pictures, int16", "pictures", "mean difference", "worst", "worst pixel"),
        [
            (
                row["kind"],
                str(row["pictures"]),
                *_numbers(row, ("mean", "worst")),
                f"{row['worst_pixel']:.4f}",
            )
            for row in of_int16["kinds"]
        ],
    )


def _called(row: Mapping[str, Any], executed: Mapping[str, str]) -> tuple[str, str, str]:
    return row["candidate"], executed[row["candidate"]], str(row["pictures"])


def _numbers(row: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        # float32 engines differ in the seventh digit.
        yield f"{row[name]:.1e}" if row[name] < 1e-5 else f"{row[name]:.5f}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
