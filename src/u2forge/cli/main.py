"""The command line: lists the verbs, imports the one that was asked for, maps errors to exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import warnings
from typing import Any, NoReturn

from u2forge import __version__
from u2forge.cli.program import exit_code_of, run_program

VERBS = {
    "fetch": "get official weights, verified, into the cache",
    "export": "checkpoint (.pth, .pt, .safetensors, .onnx) to float ONNX graph",
    "build": "card name, checkpoint or float graph to offline model",
    "infer": "pictures to masks, cut-outs, probability maps or composites",
    "eval": "models and a data set with ground truth to metrics, side by side, and a gate for them",
    "perf": "how fast: models × engines × batches side by side, with spread, by layer, against a baseline",
    "perf compare": "two results of perf to a verdict for each row, and a gate for them",
    "run": "the one-click job: fetch, build, segment, report",
    "magicmind run": "a program written for MagicMind, unmodified, on this machine's processor or GPU",
    "inspect": "what is in a model file: manifest, operators, GMAC and bytes by layer",
    "engines": "which engines, devices and precisions this machine really runs",
}
# What they print is another program's.
_OF_OTHERS = {"magicmind run"}


def program() -> NoReturn:
    """The `u2forge` command."""
    run_program(main)


def main(arguments: list[str] | None = None) -> int:
    """The exit code of `u2forge ARGUMENTS`; results go to stdout, everything else to stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    verb = verb_of(words)
    return exit_code_of(lambda: _run(verb, words), say=lambda message: _say(verb, message))


def verb_of(words: list[str]) -> str:
    """The longest verb that the words begin with, empty where they begin with none."""
    return max((verb for verb in VERBS if words[: len(verb.split())] == verb.split()), key=len, default="")


def parse(verb: str, words: list[str]) -> argparse.Namespace:
    """The options that the words after the verb give. Ends the program where they do not fit."""
    return verb_parser(verb).parse_args([verb, *words[len(verb.split()) :]])


def _run(verb: str, words: list[str]) -> int:
    if not verb:
        overview = _overview()
        overview.parse_args(words)
        overview.error("the verb comes first")  # after a `--`, say
    options = parse(verb, words)
    logging.basicConfig(
        stream=sys.stderr, format="%(name)s: %(levelname)s: %(message)s", level=logging.WARNING
    )
    logging.getLogger("u2forge").setLevel(logging.DEBUG if options.verbose else logging.WARNING)
    # Pillow warns of damaged metadata, without a word on which picture; what matters becomes an error of ours.
    warnings.filterwarnings("ignore", module="PIL")
    code: int = _module_of(verb).main(options)
    sys.stdout.flush()
    return code


def _say(verb: str, message: str) -> None:
    print(f"u2forge {verb}: {message}", file=sys.stderr)


def verb_parser(verb: str) -> argparse.ArgumentParser:
    """The parser of `u2forge VERB …`, with the options that the verb's own file adds."""
    parser = argparse.ArgumentParser(prog="u2forge", description=VERBS[verb])
    subparsers = parser.add_subparsers(dest="verb", required=True)
    subparser = subparsers.add_parser(verb, description=VERBS[verb], formatter_class=_HelpWithDefaults)
    _module_of(verb).add_arguments(subparser)
    if "--json" not in subparser._option_string_actions and verb not in _OF_OTHERS:
        subparser.add_argument("--json", action="store_true", help="print results as JSON")
    subparser.add_argument("-v", "--verbose", action="store_true", help="log what happens, to stderr")
    return parser


def _module_of(verb: str) -> Any:
    return importlib.import_module(f"u2forge.cli.{verb.replace(' ', '_')}")


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default only where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, [], False):
            return action.help
        return super()._get_help_string(action)


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="u2forge",
        description="U²-Net from official checkpoint to masks and cut-outs, on the hardware you have.",
        epilog="`u2forge VERB --help` says more of each.",
    )
    parser.add_argument("--version", action="version", version=f"u2forge {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in VERBS.items():
        subparsers.add_parser(verb, help=text, add_help=False)
    return parser


if __name__ == "__main__":
    program()
