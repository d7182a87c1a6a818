"""One value of a builder configuration, as JSON gives it → what it means, or an error that names its key."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from u2forge.errors import InputError

Shape = tuple[int, ...]


def wrong(key: str, expected: str, found: object) -> InputError:
    """The error of a value that does not fit."""
    return InputError(
        where=f"builder configuration, key {key!r}",
        expected=expected,
        found=repr(found)[:120],
        fix="correct the value; docs/magicmind.md has an example of every key",
    )


def boolean(value: object, key: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise wrong(key, "true or false", value)
    return value


def choice(value: object, key: str, valid: Sequence[str]) -> str:
    """One of the names."""
    if not isinstance(value, str) or value not in valid:
        raise wrong(key, f"one of {', '.join(valid)}", value)
    return value


def mapping(value: object, key: str) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(key, "an object {…}", value)
    return value


def numbers(value: object, key: str) -> tuple[float, ...]:
    """A list of finite numbers, at least one."""
    if not isinstance(value, list) or not value or not all(map(_is_finite, value)):
        raise wrong(key, "a list of finite numbers", value)
    return tuple(float(number) for number in value)


def pair(value: object, key: str) -> tuple[float, float]:
    """A range: [low, high] or {"min": low, "max": high}, low < high."""
    if isinstance(value, dict) and set(value) == {"min", "max"}:
        value = [value["min"], value["max"]]
    found = numbers(value, key)
    if len(found) != 2 or not found[0] < found[1]:
        raise wrong(key, 'a range: [low, high] or {"min": low, "max": high}, low < high', value)
    return found[0], found[1]


def shape_range(value: object, key: str) -> tuple[Shape, Shape]:
    """{"min": [sizes], "max": [sizes]}, as many in both, none smaller in max."""
    given = mapping(value, key)
    if set(given) != {"min", "max"}:
        raise wrong(key, '{"min": [sizes], "max": [sizes]}', value)
    smallest, largest = (_sizes(given[end], f"{key}.{end}") for end in ("min", "max"))
    if len(smallest) != len(largest) or any(a > b for a, b in zip(smallest, largest, strict=True)):
        raise wrong(key, "as many sizes in min as in max, none of them larger", value)
    return smallest, largest


def layout_change(value: object, key: str) -> tuple[str, str]:
    """{"src": "NCHW", "dst": "NHWC"}, or the other way."""
    given = mapping(value, key)
    if set(given) != {"src", "dst"}:
        raise wrong(key, '{"src": "NCHW", "dst": "NHWC"}', value)
    source, target = (choice(given[end], f"{key}.{end}", ("NCHW", "NHWC")) for end in ("src", "dst"))
    return source, target


def mean_and_variance(value: object, key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """{"mean": [numbers], "var": [numbers above 0]}, as many of each."""
    given = mapping(value, key)
    if set(given) != {"mean", "var"}:
        raise wrong(key, '{"mean": [numbers], "var": [numbers]}', value)
    mean, variance = (numbers(given[name], f"{key}.{name}") for name in ("mean", "var"))
    if len(mean) != len(variance) or min(variance) <= 0:
        raise wrong(key, "as many variances above 0 as means", value)
    return mean, variance


def names(value: object, key: str) -> tuple[str, ...]:
    """A list of names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise wrong(key, "a list of names", value)
    return tuple(value)


def _is_finite(number: object) -> bool:
    # By comparison: the conversion of a longer whole number overflows.
    return type(number) in (int, float) and abs(number) <= sys.float_info.max  # type: ignore[arg-type]


def _sizes(value: object, key: str) -> Shape:
    if not isinstance(value, list) or not all(type(size) is int and size >= 1 for size in value):
        raise wrong(key, "a list of sizes of at least 1", value)
    return tuple(value)
