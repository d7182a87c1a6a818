"""Command line and Python API are one thing: the same verbs, options and defaults."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Callable

import pytest

from u2forge.cli.main import VERBS, verb_parser

# Options of the command line alone, and arguments of the functions alone.
PRINTING = {"help", "json", "verbose", "verb"}
FUNCTIONS_ONLY = {"progress", "on_layers", "on_start", "on_report", "on_picture", "on_step", "on_result"}


def options_of(verb: str) -> dict[str, argparse.Action]:
    subparsers = next(a for a in verb_parser(verb)._actions if isinstance(a, argparse._SubParsersAction))
    actions = subparsers.choices[verb]._actions
    found: dict[str, argparse.Action] = {}
    for action in actions:
        # A --json that takes a file is an option of the verb's own.
        if action.dest not in PRINTING or (action.dest == "json" and action.nargs != 0):
            found.setdefault(action.dest, action)
    return found


def function_of(verb: str) -> Callable[..., object]:
    name = verb.replace(" ", "_")
    folder = "magicmind" if verb.startswith("magicmind") else "verbs"
    found: Callable[..., object] = getattr(importlib.import_module(f"u2forge.{folder}.{name}"), name)
    return found


def arguments_of(verb: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function_of(verb)).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in FUNCTIONS_ONLY}


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_names(verb: str) -> None:
    assert set(options_of(verb)) == set(arguments_of(verb))


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_defaults(verb: str) -> None:
    for name, parameter in arguments_of(verb).items():
        action = options_of(verb)[name]
        if parameter.default is inspect.Parameter.empty:
            assert action.required, f"{verb}: {name} is required in Python, optional on the command line"
        else:
            assert _same(action.default, parameter.default), (verb, name, action.default, parameter.default)


def _same(option: object, argument: object) -> bool:
    if option == [] and argument == ():
        return True
    return option == argument or str(option) == str(argument)


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_choices(verb: str) -> None:
    hints = inspect.get_annotations(function_of(verb), eval_str=True)
    for name, action in options_of(verb).items():
        literals = _literals(hints[name])
        if literals:
            assert action.choices is not None, f"{verb}: --{name} should be limited to {literals}"
            assert set(action.choices) == literals


def _literals(hint: object) -> set[object]:
    from typing import Literal, get_args, get_origin

    if get_origin(hint) is Literal:
        return set(get_args(hint))
    parts = [part for part in get_args(hint) if part is not type(None)]
    return _literals(parts[0]) if len(parts) == 1 else set()
