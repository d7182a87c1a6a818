"""The command line: lists the verbs, imports the one that was asked for, maps errors to exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import warnings

from u2forge import __version__
from u2forge.errors import (
    EngineError,
    FetchError,
    ImageError,
    InputError,
    MissingDependencyError,
    ModelError,
    OutputError,
    U2ForgeError,
)

VERBS = {
    "fetch": "get official weights, verified, into the cache",
    "export": "checkpoint (.pth, .pt, .safetensors, .onnx) to float ONNX graph",
    "build": "card name, checkpoint or float graph to offline model",
    "infer": "pictures to masks, cut-outs, probability maps or composites",
    "run": "the one-click job: fetch, build, segment, report",
    "inspect": "what is in a model file: manifest, operators, GMAC and bytes by layer",
    "engines": "which engines, devices and precisions this machine really runs",
}

# 0: done. 1: some pictures failed, the rest is done. 2: the command line or an argument is wrong.
EXIT_CODES: dict[type[U2ForgeError], int] = {
    InputError: 2,
    ModelError: 3,
    FetchError: 4,
    EngineError: 5,
    OutputError: 6,
    MissingDependencyError: 7,
    ImageError: 8,
}
EXIT_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """The exit code of `u2forge ARGUMENTS`; results go to stdout, everything else to stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = verb_parser(words[0]) if words and words[0] in VERBS else _overview()
    options = parser.parse_args(words)
    logging.basicConfig(
        stream=sys.stderr, format="%(name)s: %(levelname)s: %(message)s", level=logging.WARNING
    )
    logging.getLogger("u2forge").setLevel(logging.DEBUG if options.verbose else logging.WARNING)
    # Pillow warns of damaged metadata, without a word on which picture; what matters becomes an error of ours.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code: int = importlib.import_module(f"u2forge.cli.{options.verb}").main(options)
        sys.stdout.flush()
    except U2ForgeError as error:
        if options.verbose:
            logging.getLogger(__name__).exception("the error in full")
        print(f"u2forge {options.verb}: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt:
        print(f"u2forge {options.verb}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (`| head`): nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    return code


def verb_parser(verb: str) -> argparse.ArgumentParser:
    """The parser of `u2forge VERB …`, with the options that the verb's own file adds."""
    parser = argparse.ArgumentParser(prog="u2forge", description=VERBS[verb])
    subparsers = parser.add_subparsers(dest="verb", required=True)
    subparser = subparsers.add_parser(verb, description=VERBS[verb], formatter_class=_HelpWithDefaults)
    importlib.import_module(f"u2forge.cli.{verb}").add_arguments(subparser)
    subparser.add_argument("--json", action="store_true", help="print results as JSON")
    subparser.add_argument("-v", "--verbose", action="store_true", help="log what happens, to stderr")
    return parser


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
    sys.exit(main())
