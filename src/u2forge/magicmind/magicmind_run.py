"""magicmind run: a program written for MagicMind, unmodified, on this machine."""

from __future__ import annotations

import concurrent.futures.thread
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from u2forge.errors import InputError
from u2forge.magicmind.devices import device_zero
from u2forge.magicmind.import_names import installed_sdk, magicmind_names
from u2forge.magicmind.status import logger

_INTERRUPTED = 130


def magicmind_run(
    script: str | Path,
    arguments: Sequence[str] = (),
    *,
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
) -> int:
    """The exit code that `python SCRIPT ARGUMENTS` would have, with MagicMind's modules leading to u2forge.

    The program sees its own sys.argv, sys.path[0] and __main__; where it ends with an exception, its traceback is
    printed. engine, device, threads: what the program's device 0 is.
    Raises InputError where there is no such script; and MissingDependencyError, EngineError on the engine or device.
    """
    path = Path(script).expanduser()
    source = _source(path)
    place = installed_sdk()
    if place is not None:
        logger.warning(
            "MagicMind is installed (%s); the program gets u2forge's in its place, as was asked", place
        )
    with device_zero(engine, device, threads=threads), magicmind_names(), _as_main(path, arguments) as main:
        return _exit_code(
            lambda: exec(compile(source, str(path), "exec", dont_inherit=True), main.__dict__), path
        )


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            where=f"script {path}",
            expected="a Python program that can be read",
            found="a folder" if path.is_dir() else error.strerror or str(error),
            fix="check the path",
        ) from error


@contextmanager
def _as_main(path: Path, arguments: Sequence[str]) -> Iterator[types.ModuleType]:
    """A module that is `__main__` within, as Python makes it for a script."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(path), __builtins__=__builtins__, __cached__=None, __package__=None)
    before = sys.modules["__main__"], sys.argv, sys.path
    interrupt = _python_interrupt()
    sys.modules["__main__"], sys.argv = main, [str(path), *arguments]
    sys.path = [str(path.resolve().parent), *sys.path[1:]]
    try:
        yield main
    finally:
        sys.modules["__main__"], sys.argv, sys.path = before
        with suppress(ValueError):
            signal.signal(signal.SIGINT, interrupt)


def _python_interrupt() -> signal.Handlers | Callable[[int, types.FrameType | None], object] | int | None:
    """Ctrl-C as Python has it; the handler that was there before."""
    before = signal.getsignal(signal.SIGINT)
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return before


def _exit_code(run: Callable[[], object], path: Path) -> int:
    try:
        try:
            run()
        finally:
            _wait_for_threads()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException as error:
        error.__traceback__ = _of_the_program(error.__traceback__, path)
        sys.excepthook(type(error), error, error.__traceback__)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _wait_for_threads() -> None:
    """The program's own threads, as Python waits for them, while MagicMind's names still lead here.

    Not for those of executors, which Python ends by itself when all else is done.
    """
    pooled = set(getattr(concurrent.futures.thread, "_threads_queues", ()))
    for found in threading.enumerate():
        if not (found.daemon or found in pooled or found is threading.current_thread()):
            found.join()


def _of_the_program(traceback: TracebackType | None, path: Path) -> TracebackType | None:
    """The traceback from the program's first frame on: without ours."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename != str(path):
        traceback = traceback.tb_next
    return traceback
