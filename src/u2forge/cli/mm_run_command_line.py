"""The words of an mm_run command line → what they ask for, checked, with a note for each flag that changes nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from u2forge.cli.mm_run_flags import FLAGS, Flag
from u2forge.engine.registry import ENGINES
from u2forge.errors import InputError, unknown_choice

_ALIASES = {"batch": "batch_size"}
_TRUE, _FALSE = ("1", "true"), ("0", "false")
_MINIMUM = {"threads": 1, "buffer_depth": 1, "infer_depth": 1}
_MOST_DIGITS = 12
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class MmRunFlags:
    """What was asked for. batch_size: None for the model's own; input_dims: one an input, or none.

    shown: every flag with its type and value, as mm_run prints them; notes: what had no effect, and why.
    """

    model: str
    input_dims: tuple[tuple[int, ...], ...]
    batch_sizes: tuple[int, ...]
    input_files: tuple[Path, ...]
    output_path: Path | None
    device: str
    threads: int
    warmup_ms: int
    duration_ms: int
    iterations: int
    trace_path: Path | None
    engine: str
    shown: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def batch_size(self) -> int | None:
        """Pictures in an inference; as in mm_run, --batch_size goes before --input_dims."""
        if self.batch_sizes:
            return self.batch_sizes[0]
        return self.input_dims[0][0] if self.input_dims else None


def parse_flags(words: Sequence[str]) -> MmRunFlags:
    """The flags of a command line, one or two dashes before each: `--flag value …` or `--flag=value`.

    Raises InputError on an unknown flag, a missing model or a value that is none.
    """
    notes: list[str] = []
    values = _values_by_flag(words, notes)
    notes += _notes(values)
    return MmRunFlags(
        model=_one(values, "magicmind_model") or _no_model(),
        input_dims=tuple(_sizes(word) for word in " ".join(values.get("input_dims", ())).split()),
        batch_sizes=_sizes(",".join(" ".join(values.get("batch_size", ())).split()), name="batch_size"),
        input_files=tuple(Path(word).expanduser() for word in values.get("input_files", ())),
        output_path=_path(values, "output_path"),
        device=_device(values.get("devices", ["0"])),
        threads=_number(values, "threads"),
        warmup_ms=_number(values, "warmup"),
        duration_ms=_number(values, "duration"),
        iterations=_number(values, "iterations"),
        trace_path=_path(values, "trace_path"),
        engine=_engine(_one(values, "engine")),
        shown={f"{name}<{flag.kind}>": _shown(values.get(name), flag) for name, flag in FLAGS.items()},
        notes=tuple(notes),
    )


def _values_by_flag(words: Sequence[str], notes: list[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in words:
        match = _FLAG.fullmatch(word)
        if match is not None:
            name = _known(match[1])
            if name in values:
                notes.append(f"--{name} was given more than once; the last one counts")
            current = values[name] = [match[2]] if match[2] else []
        elif current is None:
            raise InputError(
                where=repr(word),
                expected="a flag first",
                found="a value",
                fix=f"--magicmind_model {word}",
            )
        else:
            current.append(word)
    for name, given in values.items():
        _check_count(name, given)
    return values


def _known(word: str) -> str:
    name = word.replace("-", "_")
    name = _ALIASES.get(name, name)
    if name in FLAGS:
        return name
    near = difflib.get_close_matches(name, [*FLAGS, *_ALIASES], n=1)
    raise InputError(
        where=f"--{word}",
        expected="one of mm_run's flags",
        found="an unknown one",
        fix=f"did you mean --{near[0]}?" if near else "see mm_run --help",
    )


def _check_count(name: str, given: Sequence[str]) -> None:
    flag = FLAGS[name]
    if flag.effect == "refused" and given:
        raise InputError(
            where=f"--{name}",
            expected="no such flag on this hardware",
            found=" ".join(given),
            fix=flag.about,
        )
    if len(given) == 1 or (given and flag.kind.startswith("Vec")) or (not given and flag.kind == "Bool"):
        return
    raise InputError(
        where=f"--{name}",
        expected="a value" if not given else "one value",
        found=" ".join(given) or "none",
        fix=f"see mm_run --help: {flag.about}",
    )


def _notes(values: Mapping[str, list[str]]) -> Iterator[str]:
    """Of every flag that was given and changes nothing, why it does not."""
    for name, given in values.items():
        flag = FLAGS[name]
        if flag.effect != "none" or (given == [flag.default] and flag.kind == "Str"):
            continue
        if flag.kind == "Bool" and not _switch(name, given):
            continue
        if flag.kind == "Int":
            _whole(name, given[0], least=_MINIMUM[name])
        if name == "trace_time" and given[0] not in ("none", "host", "dev", "both"):
            raise unknown_choice(given[0], ("none", "host", "dev", "both"), where="--trace_time")
        yield f"--{name} has no effect: {flag.about}"
    if values.get("output_path") and not values.get("input_files"):
        yield "--output_path has no effect without --input_files, as in mm_run"


def _switch(name: str, given: Sequence[str]) -> bool:
    """A bare flag is true."""
    word = given[0].lower() if given else "true"
    if word not in (*_TRUE, *_FALSE):
        raise unknown_choice(given[0], (*_FALSE, *_TRUE), where=f"--{name}")
    return word in _TRUE


def _one(values: Mapping[str, list[str]], name: str) -> str:
    return values.get(name, [FLAGS[name].default])[0]


def _path(values: Mapping[str, list[str]], name: str) -> Path | None:
    word = _one(values, name)
    return Path(word).expanduser() if word else None


def _number(values: Mapping[str, list[str]], name: str) -> int:
    return _whole(name, _one(values, name), least=_MINIMUM.get(name, 0))


def _whole(name: str, word: str, *, least: int) -> int:
    if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS and int(word) >= least:
        return int(word)
    raise InputError(
        where=f"--{name}",
        expected=f"a whole number of at least {least}",
        found=repr(word),
        fix=f"give --{name} {max(least, 1)} or more",
    )


def _sizes(word: str, *, name: str = "input_dims") -> tuple[int, ...]:
    return tuple(_whole(name, size, least=1) for size in word.split(",")) if word else ()


def _device(given: Sequence[str]) -> str:
    if len(given) != 1 or "," in given[0]:
        raise InputError(
            where="--devices",
            expected="one device",
            found=" ".join(given),
            fix="run mm_run once for each device, or give --threads for inferences side by side",
        )
    if not given[0].isdigit():
        return given[0]
    if int(given[0]):
        raise InputError(
            where="--devices",
            expected="0, or a device that `u2forge engines` lists",
            found=f"{given[0]}, the number of an MLU",
            fix="give 0 for the engine's own choice, or a name: cpu, gpu",
        )
    return "auto"


def _engine(name: str) -> str:
    if name not in ("auto", *ENGINES):
        raise unknown_choice(name, ("auto", *ENGINES), where="--engine")
    return name


def _no_model() -> str:
    raise InputError(
        where="command line",
        expected="--magicmind_model",
        found="none",
        fix="give --magicmind_model FILE, a file of `u2forge build`, or a card's name",
    )


def _shown(given: Sequence[str] | None, flag: Flag) -> str:
    if given is None:
        return flag.default
    if flag.kind == "Bool":
        return "false" if given and given[0].lower() in _FALSE else "true"
    return (" " if flag.kind == "Vec<Vec<Int>>" else ",").join(given)
