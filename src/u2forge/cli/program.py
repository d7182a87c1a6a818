"""What our commands share: streams that can be written to, one Ctrl-C that ends cleanly, errors as exit codes."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from u2forge.errors import (
    AccuracyError,
    EngineError,
    FetchError,
    ImageError,
    InputError,
    MissingDependencyError,
    ModelError,
    OutputError,
    PerformanceError,
    U2ForgeError,
)

# 0: done. 1: some pictures or candidates failed, the rest is done. 2: the command line or an argument is wrong.
EXIT_CODES: dict[type[U2ForgeError], int] = {
    InputError: 2,
    ModelError: 3,
    FetchError: 4,
    EngineError: 5,
    OutputError: 6,
    MissingDependencyError: 7,
    ImageError: 8,
    AccuracyError: 9,
    PerformanceError: 10,
}
EXIT_INTERRUPTED = 130


def run_program(main: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit code of `main`, with streams that can be written to and one clean Ctrl-C."""
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


def exit_code_of(run: Callable[[], int], *, say: Callable[[str], None]) -> int:
    """The code that `run` returns, or the one of what it raises, whose message is said."""
    try:
        return run()
    except U2ForgeError as error:
        logging.getLogger(__name__).debug("the error in full", exc_info=True)
        say(str(error))
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (`| head`): nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except OSError as error:
        # A path that the system refuses outright (too long, say), or a full disk behind stdout.
        say(str(error))
        return EXIT_CODES[InputError if error.filename is not None else OutputError]
