"""The engine cuda on the GPU at hand, beside PyTorch's own ways: speed, maps, layers, a folder. One call, one record.

    PYTHONPATH=src python3 benchmarks/gpu.py --model u2net.onnx --photos FOLDER --json OUT.json
    python benchmarks/gpu.py --record benchmarks/results/OUT.json --docs

All candidates of a batch size are open at once in one process and take turns; each one's maps are compared with those
of PyTorch's float32 in the same run, and one that is over its limit is marked as failed. The device's own rate of
matrix products is measured beside them. The record is written after each stage: what was cut short keeps what it has.
The model may be an 8-bit file, a fourth of the size: its weights, restored to float32, are then those of all float
candidates and of their reference. --record: measures nothing, tells what is in a record. --device cpu: the same code
on the processor, to try it; its figures say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from gpu_candidates import Place
    from gpu_opened import Float32
    from gpu_state import GpuState
    from gpu_time import RunTime

# Module → what brings it. triton (our kernels), pynvml (power) and onnxruntime are used where they are there.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnx_ir": "onnx-ir",
    "PIL": "pillow",
    "psutil": "psutil",
    "filelock": "filelock",
}
# Of the options, what a record says; the rest are places.
PARAMETERS = ("seconds", "turns", "minutes", "only", "stages", "most_batch", "compile_mode", "compile_limit")
STAGES = ("limits", "network", "best", "folder", "layers")
VERSIONS = ("u2forge", "torch", "triton", "onnxruntime", "onnxruntime-gpu", "nvidia-ml-py", "numpy")
# For folder and layers, which come after the networks.
RESERVE_S = 80.0


def main() -> None:
    options = parse_options()
    if options.record:
        tell(json.loads(options.record.read_text(encoding="utf-8")), options.record, docs=options.docs)
        return
    check_needed()
    from gpu_document import check_document
    from gpu_time import RunTime
    from write_record import check_place

    check_place(options.json)
    if options.docs:
        check_document()
    run_time = RunTime(options.minutes)
    with tempfile.TemporaryDirectory(prefix="u2forge-gpu-") as scratch:
        record = measured(options, run_time, Path(scratch))
    tell(record, options.json, docs=options.docs)


def check_needed() -> None:
    """Raises SystemExit where a package is missing that nothing here does without."""
    if find_spec("u2forge") is None:
        raise SystemExit(
            "u2forge is not found: run this from the checkout with PYTHONPATH=src, or install it"
        )
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise SystemExit(f"missing packages: run `pip install {' '.join(missing)}`")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="a float or 8-bit model of `u2forge build`, batch size dynamic"
    )
    parser.add_argument(
        "--quantized", type=Path, help="an 8-bit model to measure besides (else --model, if it is)"
    )
    parser.add_argument("--photos", type=Path, help="a folder of real photos")
    parser.add_argument("--json", type=Path, help="the record's place")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/gpu.md")
    parser.add_argument("--record", type=Path, help="measure nothing, tell of this record")
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the script")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--most-batch", type=int, default=128, help="the best batch is searched up to here")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each candidate at each batch size")
    parser.add_argument("--turns", type=int, default=4, help="turns that the seconds are divided into")
    parser.add_argument(
        "--minutes", type=float, default=7.0, help="of the whole; what does not fit is left out"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="candidates with one of these words in their names"
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--accuracy-photos", type=int, default=16, help="photos whose maps are compared")
    parser.add_argument("--compile-mode", default="reduce-overhead", help="of torch.compile")
    parser.add_argument("--compile-batches", nargs="*", type=int, default=[1, 32], help="it takes long")
    parser.add_argument("--compile-limit", type=float, default=75.0, help="seconds, for a batch size")
    parser.add_argument(
        "--choose-limit", type=float, default=150.0, help="seconds to choose kernels, likewise"
    )
    parser.add_argument("--folder-pictures", type=int, default=2048)
    parser.add_argument("--layers-batch", type=int, default=32)
    options = parser.parse_args()
    if not options.record and not (options.model and options.photos and options.json):
        parser.error("--model, --photos and --json are needed (or --record)")
    options.batches = sorted(set(options.batches))
    return options


def measured(options: argparse.Namespace, run_time: RunTime, scratch: Path) -> dict[str, Any]:
    """The record of all stages; a stage that fails is in it with its reason."""
    import torch

    from gpu_accuracy import prepared_photos
    from gpu_candidates import Place
    from gpu_limits import measured_limits
    from gpu_models import measured_models
    from gpu_state import GpuState
    from machine import commit
    from u2forge.errors import U2ForgeError
    from u2forge.measure.machine import machine_facts
    from write_record import write_record

    device = torch.device(options.device)
    check_device(device)
    run_time.say(f"PyTorch {torch.__version__}, {device_facts(device)}")
    try:
        models = measured_models(options.model, options.quantized, scratch)
        photos = prepared_photos(options.photos, most=options.accuracy_photos, size=models.size)
    except U2ForgeError as error:
        raise SystemExit(str(error)) from error
    run_time.say(f"models: {models.weights}; {models.gflop:.1f} GFLOP a picture")
    state = GpuState(device)
    record: dict[str, Any] = {
        "benchmark": "gpu",
        "commit": commit(),
        "machine": machine_facts(VERSIONS),
        "device": device_facts(device),
        "state_source": state.source or "nothing tells power and clocks",
        "weights": models.weights,
        "gflop": round(models.gflop, 4),
        "batches": options.batches,
        "parameters": {name: vars(options)[name] for name in PARAMETERS},
        "accuracy_photos": len(photos),
        "interrupted": True,
        "rows": [],
        "notes": [],
    }
    place = Place(
        device=device,
        models=models,
        folder=scratch / "cache",
        compile_mode=options.compile_mode,
        compile_batches=tuple(options.compile_batches),
        compile_limit_s=options.compile_limit,
        choose_limit_s=options.choose_limit,
    )

    def stage(name: str, work: Callable[[], Any]) -> None:
        """What it gives is in the record under its name; the reason why it gave nothing in the notes."""
        if name not in options.stages:
            return
        run_time.say(f"stage {name}")
        try:
            record[name] = work()
        except Exception as error:  # drivers and compilers raise whatever they like; other stages go on
            record[name] = {}
            record["notes"].append(f"stage {name}: {type(error).__name__}: {str(error)[:400]}")
            run_time.say(record["notes"][-1])
        write_record(options.json, record)

    try:
        stage("limits", lambda: measured_limits(device, run_time))
        stage("network", lambda: networks(options, place, photos, state, run_time, record))
        stage("folder", lambda: of_folder(options, place, scratch, run_time))
        stage("layers", lambda: of_layers(options, place, record, run_time))
        record["interrupted"] = False
    finally:
        state.close()
        record["elapsed_s"] = round(run_time.elapsed_s, 1)
        write_record(options.json, record)
    return record


def check_device(device: torch.device) -> None:
    """Raises SystemExit where PyTorch has no such device."""
    import torch

    from u2forge.engine.cuda_device import why_no_gpu

    if device.type == "cpu":
        return
    if device.type != "cuda" or device.index is None:
        raise SystemExit(f"--device {device}: cuda:0, cuda:1 … or cpu")
    if not torch.cuda.is_available():
        raise SystemExit(f"--device {device}: {why_no_gpu()}; --device cpu tries the script without a GPU")
    torch.cuda.set_device(device)


def device_facts(device: torch.device) -> dict[str, Any]:
    """What the device says of itself."""
    import torch

    if device.type != "cuda":
        return {"name": "the processor, to try the script", "cudnn": None, "cuda": None}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "memory_gib": round(found.total_memory / 2**30, 1),
        "multiprocessors": found.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def networks(
    options: argparse.Namespace,
    place: Place,
    photos: Float32,
    state: GpuState,
    run_time: RunTime,
    record: dict[str, Any],
) -> dict[str, int]:
    """Rows of all candidates at all batch sizes, then at those at which some are still gaining, into the record. Gives
    how many there are."""
    from gpu_accuracy import maps_of
    from gpu_best_batch import search_best
    from gpu_candidates import candidates, control, reference
    from gpu_rounds import Conditions, measure_round
    from write_record import write_record

    opened = reference(place)
    maps = [found for _, found in maps_of(opened, photos, 1)]
    opened.close()
    conditions = Conditions(
        device=place.device,
        photos=photos,
        reference=maps,
        seconds=options.seconds,
        turns=options.turns,
        reserve_s=RESERVE_S if {"folder", "layers"} & set(options.stages) else 0.0,
        run_time=run_time,
        state=state,
        gflop=place.models.gflop,
        tflop_per_s=record.get("limits", {}).get("tflop_per_s", {}),
    )
    (record["control"],) = measure_round([control(place)], 1, conditions)

    def keep() -> None:
        write_record(options.json, record)

    wanted = [each for each in candidates(place) if is_wanted(each.name, options.only)]
    for batch in options.batches:
        run_time.say(f"batch {batch}: {len(wanted)} candidates")
        record["rows"] += measure_round(wanted, batch, conditions)
        keep()
    if "best" in options.stages:
        search_best(wanted, options.batches, options.most_batch, record, conditions, keep)
    return {"candidates": len(wanted), "rows": len(record["rows"])}


def is_wanted(name: str, words: Sequence[str] | None) -> bool:
    """Whether one of the words is in the name; without words, each is."""
    return words is None or any(word in name for word in words)


def of_folder(options: argparse.Namespace, place: Place, scratch: Path, run_time: RunTime) -> dict[str, Any]:
    from gpu_folder import measured_folder

    return measured_folder(
        place,
        options.photos,
        scratch / "folder",
        count=options.folder_pictures,
        batch_size=max(options.batches),
        run_time=run_time,
    )


def of_layers(
    options: argparse.Namespace, place: Place, record: dict[str, Any], run_time: RunTime
) -> list[dict[str, Any]]:
    """Of PyTorch's operators, and of the fused steps; one that fails leaves the other."""
    from gpu_layers import operator_times, step_times
    from gpu_time import TimeLimitError

    peak = record.get("limits", {}).get("tflop_per_s", {}).get("float16")
    found: list[dict[str, Any]] = []
    for times in (operator_times, step_times):
        try:
            found.append(times(place, options.layers_batch, peak))
        except (Exception, TimeLimitError) as error:  # as of stages
            record["notes"].append(f"{times.__name__}: {type(error).__name__}: {str(error)[:300]}")
            continue
        run_time.say(
            f"{found[-1]['network']}, batch {options.layers_batch}: {found[-1]['total_ms']:.3f} ms in all"
        )
    return found


def tell(record: dict[str, Any], path: Path, *, docs: bool) -> None:
    from gpu_document import facts, network_table, write_document

    print(f"{network_table(record)}\n\n{facts(record)}.")
    for note in record["notes"]:
        print(f"- {note}")
    if docs:
        write_document(record, path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what there is has been written
        sys.exit(130)
