"""A folder of photos through rembg and u2forge in turn: pictures a second, peak memory, ratios.

Same photos, same official weights, same job (cut-outs as PNG, or masks), each a process of its own with its
start-up, candidates interleaved (A B C A B C …), medians. rembg is installed into a virtual environment of its
own (--peer-env) and finds its weights in u2forge's cache. Without FOLDER: the demo photos, eight times over. --model:
files that `u2forge build` wrote, each a candidate too, as quantized models are not built without photos.

    python benchmarks/folder_vs_rembg.py ~/photos --repeat 3 --model qint16.onnx --json benchmarks/results/mine.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import u2forge
from machine import commit
from measured_process import Measured, run_measured
from u2forge.measure.machine import machine_facts
from u2forge.model_file.read import read_manifest
from u2forge.verbs.demo_photos import demo_photos

REMBG = "rembg[cpu,cli]==2.0.86"
HERE = Path(__file__).resolve().parent
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
PRECISIONS = ("force_float32", "force_float16")


def main() -> None:
    options = parse_options()
    peer = prepare_rembg(options.peer_env)
    weights = u2forge.fetch("u2net")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        photos = gather(options.folder, scratch / "photos", options.limit)
        commands = {"rembg": rembg_command(peer, photos, scratch / "rembg", options.job)}
        for precision in PRECISIONS:
            commands[f"u2forge {precision}"] = u2forge_command(
                photos, scratch / precision, precision, options.job
            )
        for index, model in enumerate(options.model):
            commands[f"u2forge {read_manifest(model).precision}, {model.name}"] = model_command(
                photos, scratch / f"model{index}", model, options.job
            )
        runs = measure(commands, weights.parent, scratch, options.repeat)
        count = len(list(photos.iterdir()))
    record = {
        "benchmark": "folder_vs_rembg",
        "commit": commit(),
        "job": options.job,
        "pictures": count,
        "repeat": options.repeat,
        "machine": machine_facts(("u2forge", "openvino", "onnxruntime", "pillow", "numpy")),
        "peer_versions": versions_in(peer, ("rembg", "onnxruntime", "pillow", "numpy")),
        "results": results(runs, count),
    }
    print_table(record)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--job", choices=("cutout", "mask"), default="cutout")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, help="take only the first N photos")
    parser.add_argument("--model", nargs="+", type=Path, default=[], help="model files to measure besides")
    parser.add_argument("--peer-env", type=Path, default=HERE / ".venv-rembg")
    parser.add_argument("--json", type=Path, help="write the record here")
    return parser.parse_args()


def prepare_rembg(environment: Path) -> Path:
    """The folder of rembg's programs, in an environment of its own, installed where it is not there."""
    programs = environment / "bin"
    if not (programs / "rembg").exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(programs / "python"), "-m", "pip", "install", "--quiet", REMBG], check=True)
    return programs


def gather(folder: Path | None, target: Path, limit: int | None) -> Path:
    """A flat folder of copies, each under a name of its own."""
    found = demo_photos() * 8 if folder is None else sorted(folder.expanduser().rglob("*"))
    photos = [path for path in found if path.suffix.lower() in SUFFIXES][:limit]
    if not photos:
        raise SystemExit(f"no photos found in {folder}")
    target.mkdir()
    for index, photo in enumerate(photos):
        shutil.copyfile(photo, target / f"{index:05d}_{photo.name}")
    return target


def rembg_command(programs: Path, photos: Path, out: Path, job: str) -> list[str]:
    only_mask = ["--only-mask"] if job == "mask" else []
    return [str(programs / "rembg"), "p", "-m", "u2net", *only_mask, str(photos), str(out)]


def u2forge_command(photos: Path, out: Path, precision: str, job: str) -> list[str]:
    return [*_infer(photos, out, job), "--precision", precision]


def model_command(photos: Path, out: Path, model: Path, job: str) -> list[str]:
    return [*_infer(photos, out, job), "--model", str(model)]


def _infer(photos: Path, out: Path, job: str) -> list[str]:
    program = [sys.executable, "-m", "u2forge.cli.main", "infer", str(photos), "--out", str(out)]
    return [*program, "--output", job, "--json"]


def measure(
    commands: dict[str, list[str]], weights: Path, scratch: Path, repeat: int
) -> dict[str, list[Measured]]:
    """Every command `repeat` times, in turn, after one turn that fills the caches and is not counted."""
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    photos = scratch / "photos"
    for turn in range(repeat + 1):
        for name, command in commands.items():
            out = Path(command[command.index("--out") + 1] if "--out" in command else command[-1])
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            measured = run_measured(command, environment={"U2NET_HOME": str(weights)}, log=scratch / "log")
            check_results(name, photos, out)
            if turn:
                runs[name].append(measured)
                print(f"{name}: {measured.wall_s:.1f} s, peak {measured.peak_mb:.0f} MB", file=sys.stderr)
    return runs


def check_results(name: str, photos: Path, out: Path) -> None:
    """Ends the benchmark where a candidate left a picture out or wrote one of another size."""
    for photo in photos.iterdir():
        result = out / f"{photo.stem}.png"
        if not result.exists():
            raise SystemExit(f"{name} wrote nothing for {photo.name}")
        with Image.open(photo) as before, Image.open(result) as after:
            if sorted(before.size) != sorted(after.size):
                raise SystemExit(f"{name}: {photo.name} is {before.size}, its result {after.size}")


def results(runs: dict[str, list[Measured]], count: int) -> list[dict[str, object]]:
    """One row per candidate: medians, spread, and ratios to the first (rembg)."""
    first_wall_s, first_peak_mb = (medians(next(iter(runs.values())))[key] for key in ("wall_s", "peak_mb"))
    rows: list[dict[str, object]] = []
    for name, measured in runs.items():
        middle = medians(measured)
        rows.append(
            {
                "candidate": name,
                **{key: round(value, 3) for key, value in middle.items()},
                "wall_s_all": [round(one.wall_s, 3) for one in measured],
                "pictures_per_second": round(count / middle["wall_s"], 3),
                "speed_vs_rembg": round(first_wall_s / middle["wall_s"], 3),
                "peak_memory_vs_rembg": round(middle["peak_mb"] / first_peak_mb, 3),
            }
        )
    return rows


def medians(measured: Sequence[Measured]) -> dict[str, float]:
    return {
        key: statistics.median(getattr(one, key) for one in measured)
        for key in ("wall_s", "cpu_s", "peak_mb")
    }


def versions_in(programs: Path, packages: Sequence[str]) -> dict[str, str]:
    """The versions installed in the peer's environment."""
    code = "import json, sys; from importlib.metadata import version; "
    code += "print(json.dumps({p: version(p) for p in sys.argv[1:]}))"
    answer = subprocess.run(
        [str(programs / "python"), "-c", code, *packages], capture_output=True, check=True
    )
    versions: dict[str, str] = json.loads(answer.stdout)
    return versions


def print_table(record: dict[str, object]) -> None:
    print(f"\n{record['pictures']} pictures, job: {record['job']}, median of {record['repeat']}\n")
    print("| candidate | pictures/s | wall s | peak MB | speed vs rembg | memory vs rembg |")
    print("|---|---|---|---|---|---|")
    rows = record["results"]
    assert isinstance(rows, list)
    for row in rows:
        print(
            f"| {row['candidate']} | {row['pictures_per_second']:.2f} | {row['wall_s']:.1f} | {row['peak_mb']:.0f} "
            f"| {row['speed_vs_rembg']:.2f} | {row['peak_memory_vs_rembg']:.2f} |"
        )


if __name__ == "__main__":
    main()
