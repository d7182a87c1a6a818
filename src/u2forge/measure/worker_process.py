"""WorkerProcess: a process that answers JSON lines, seen from outside: asked, closed, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from u2forge import errors
from u2forge.errors import EngineError, U2ForgeError

OUR_WORKER = (sys.executable, "-m", "u2forge.measure.perf_worker")
_SECONDS_TO_CLOSE = 10.0
_SAID_AT_MOST = 2000


class WorkerProcess:
    """command: a program that speaks the lines of `perf_worker`; label: what errors call it.

    In a session of its own, so that a Ctrl-C is the parent's alone to handle, and with a folder of its own for
    temporary files, so that none is left when it is killed.
    """

    def __init__(self, command: Sequence[str] = OUR_WORKER, *, label: str) -> None:
        self.label = label
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (until the process ends)
        self._temporary = tempfile.TemporaryDirectory(prefix="u2forge-worker-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            list(command),
            env={**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._temporary.name)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. Raises the worker's own error, or EngineError where it died instead of answering."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _error_of(answer["error"], self.label)
        return answer

    def close(self) -> None:
        """Ends the process: asked to, then killed. A second call does nothing."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                assert self._process.stdin is not None
                self._process.stdin.write('{"close": true}\n')
                self._process.stdin.close()
                self._process.wait(_SECONDS_TO_CLOSE)
        self.kill()

    def kill(self) -> None:
        """Ends the process at once, and those that it started."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._said.close()
        self._temporary.cleanup()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Whoever was interrupted does not wait for the end of a turn.
        if kind is None:
            self.close()
        else:
            self.kill()

    def _died(self) -> EngineError:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read()[-_SAID_AT_MOST:].decode(errors="replace").strip()
        return EngineError(
            where=self.label,
            expected="an answer from its process",
            found=f"{_end_of(code)}{f', having said: {said}' if said else ''}",
            fix="choose a smaller batch, fewer streams or fewer candidates at once, or another engine",
        )


def _end_of(code: int) -> str:
    if code >= 0:
        return f"its end with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", which the system sends where memory runs out" if name == "SIGKILL" else ""
    return f"its end by {name}{memory}"


def _error_of(values: Mapping[str, str], label: str) -> U2ForgeError:
    """The error that a worker reported; one of a kind that is not ours becomes an EngineError."""
    kind = getattr(errors, values["kind"], EngineError)
    if not (isinstance(kind, type) and issubclass(kind, U2ForgeError)):
        kind = EngineError
    return kind(
        where=f"{label}: {values['where']}",
        expected=values["expected"],
        found=values["found"],
        fix=values["fix"],
    )
