"""mm_run's flags as a table: what each is, its default, and what it does or does not do here."""

from __future__ import annotations

from typing import Literal, NamedTuple

from u2forge.engine.registry import ENGINES
from u2forge.target import UNVERIFIED

Kind = Literal["Str", "Int", "Bool", "Vec<Int>", "Vec<Str>", "Vec<Vec<Int>>"]
Effect = Literal["used", "none", "refused"]


class Flag(NamedTuple):
    """One flag. kind: mm_run's name of its type; default: as it would be typed, empty for none.

    about: what it does; where it has no effect, why; where it is refused, what to do instead.
    """

    kind: Kind
    default: str
    effect: Effect
    about: str


# In the order in which mm_run prints them. Defaults are mm_run's own, without those of depths that are not used.
FLAGS: dict[str, Flag] = {
    "magicmind_model": Flag(
        "Str", "", "used", "a model file of `u2forge build`, or a card's name (u2net, …)"
    ),
    "input_dims": Flag("Vec<Vec<Int>>", "", "used", "each input's sizes: 8,3,320,320; must be the model's"),
    "batch_size": Flag(
        "Vec<Int>", "", "used", "pictures in an inference (also --batch); overrides the first size"
    ),
    "run_config": Flag("Str", "", "refused", "give one --input_dims a run"),
    "input_files": Flag(
        "Vec<Str>", "", "used", "raw tensors, one for each input, for --output_path and --trace_path"
    ),
    "output_path": Flag("Str", "", "used", "a folder for the raw outputs (output0, …) of the --input_files"),
    "plugin": Flag("Vec<Str>", "", "refused", "leave it out: engines bring their own operators"),
    "devices": Flag(
        "Vec<Str>", "0", "used", "0 for the engine's own choice, or a name that `u2forge engines` lists"
    ),
    "threads": Flag("Int", "1", "used", "inferences side by side (streams)"),
    "bind_cluster": Flag("Bool", "false", "none", "there are no clusters to bind to"),
    "warmup": Flag("Int", "200", "used", "milliseconds to warm up"),
    "duration": Flag("Int", "3000", "used", "milliseconds to measure, at least"),
    "iterations": Flag("Int", "100", "used", "inferences of each thread to measure, at least"),
    "disable_data_copy": Flag(
        "Bool", "false", "none", "inputs are copied only where the device needs it, and then it is measured"
    ),
    "host_async": Flag("Bool", "false", "none", "each thread waits for its own inference"),
    "buffer_depth": Flag("Int", "", "none", "each thread has one inference in flight"),
    "infer_depth": Flag("Int", "", "none", "each thread has one inference in flight"),
    "kernel_capture": Flag("Bool", "false", "none", "engines compile the whole graph ahead"),
    "trace_path": Flag("Str", "", "used", "a trace for Chrome's tracing page: FILE.json, or a folder"),
    "debug_path": Flag("Str", "", "refused", "leave it out: engines do not give the values between layers"),
    "perf_path": Flag("Str", "", "refused", "run `u2forge perf MODEL --profile` for the times of the layers"),
    "trace_pmu": Flag("Bool", "false", "none", "memory traffic is not available"),
    "trace_time": Flag("Str", "host", "none", "all times are the host's clock"),
    "avg_runs": Flag("Vec<Int>", "", "none", "averages are of every 100 runs"),
    "engine": Flag(
        "Str", "auto", "used", f"u2forge's own: auto, {', '.join(ENGINES)} (Cambricon's SDK: {UNVERIFIED})"
    ),
}


def flags_help() -> str:
    """What `mm_run --help` prints."""
    lines = [
        "usage: mm_run --magicmind_model MODEL [--flag value …] [--flag=value]",
        "",
        "Measures a model as MagicMind's mm_run does, on this machine's processor or GPU, and prints mm_run's report.",
        "",
    ]
    words = {"used": "", "none": "no effect: ", "refused": "refused: "}
    for name, flag in FLAGS.items():
        default = f" ({flag.default})" if flag.default else ""
        lines.append(f"  --{f'{name} <{flag.kind}>':<34} {words[flag.effect]}{flag.about}{default}")
    return "\n".join(lines)
