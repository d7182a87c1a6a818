"""The command line: lists the verbs, imports the one that was asked for, maps errors to exit codes."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from u2forge import __version__
from u2forge.errors import (
    AccuracyError,
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
    "eval": "models and a data set with ground truth to metrics, side by side, and a gate for them",
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
    AccuracyError: 9,
}
EXIT_INTERRUPTED = 130


def program() -> NoReturn:
    """The `u2forge` command: `main` with streams that can be written to, and one Ctrl-C that ends it cleanly."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, _interrupt_once)
    _mend_streams()
    code = main()
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    """The first Ctrl-C unwinds; further ones would break into the threads' clean end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _mend_streams() -> None:
    """Streams that the caller closed lead nowhere; characters that a stream cannot say are escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (for the life of the process)
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(arguments: list[str] | None = None) -> int:
    """The exit code of `u2forge ARGUMENTS`; results go to stdout, everything else to stderr."""
    words = sys.argv[1:] if arguments is None else arguments
    verb = words[0] if words and words[0] in VERBS else ""
    try:
        return _run(verb, words)
    except U2ForgeError as error:
        logging.getLogger(__name__).debug("the error in full", exc_info=True)
        _say(verb, str(error))
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt:
        _say(verb, "interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (`| head`): nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except OSError as error:
        # A path that the system refuses outright (too long, say), or a full disk behind stdout.
        _say(verb, str(error))
        return EXIT_CODES[InputError if error.filename is not None else OutputError]


def _run(verb: str, words: list[str]) -> int:
    parser = verb_parser(verb) if verb else _overview()
    options = parser.parse_args(words)
    logging.basicConfig(
        stream=sys.stderr, format="%(name)s: %(levelname)s: %(message)s", level=logging.WARNING
    )
    logging.getLogger("u2forge").setLevel(logging.DEBUG if options.verbose else logging.WARNING)
    # Pillow warns of damaged metadata, without a word on which picture; what matters becomes an error of ours.
    warnings.filterwarnings("ignore", module="PIL")
    code: int = importlib.import_module(f"u2forge.cli.{verb}").main(options)
    sys.stdout.flush()
    return code


def _say(verb: str, message: str) -> None:
    print(f"u2forge {verb}: {message}", file=sys.stderr)


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
    program()
