"""The C++ tests under sanitizers: random networks, corrupted programs, memory plans and the thread pool.

A few of each; more of them, and all of them under the thread sanitizer, are two commands: CONTRIBUTING.md. Only the
kernels that this processor can run are compiled: the installation has compiled them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
NATIVE = SOURCE / "native"
# Seconds, for machines far slower than any seen.
BUILD_TIMEOUT, RUN_TIMEOUT = 600, 300
# Program, and how many of what it does: some seconds each.
PROGRAMS = {
    "memory_plan_test": 1000,
    "thread_pool_test": 1000,
    "broken_programs_guarded": 3000,
    "random_networks_guarded": 6,
    "random_networks": 3,
}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers are set up for Linux"),
    pytest.mark.skipif(not (SOURCE / "CMakeLists.txt").is_file(), reason="no checkout, no C++ sources"),
]


def compiler() -> str:
    found = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if not found:
        pytest.skip("no C++ compiler")
    return found


def run(*command: str | Path, timeout: int = RUN_TIMEOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def succeed(*command: str | Path, timeout: int = RUN_TIMEOUT) -> str:
    done = run(*command, timeout=timeout)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def skip_without(sanitizer: str, folder: Path) -> None:
    """Compilers come without the libraries of their sanitizers, too."""
    probe = folder / "probe.cpp"
    probe.write_text("int main() { return 0; }\n")
    if run(compiler(), f"-fsanitize={sanitizer}", probe, "-o", folder / "probe").returncode:
        pytest.skip(f"{compiler()} cannot build with -fsanitize={sanitizer}")


def levels_to_build() -> str:
    """For CMake: the instruction sets of this processor; all where the module, which knows them, was not built."""
    try:
        from u2forge.native import _kernels
    except ImportError:
        return ""
    return ";".join(_kernels.levels())


@pytest.fixture(scope="module")
def checked_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the C++ tests, built with the sanitizers of addresses and of undefined behaviour."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    folder = tmp_path_factory.mktemp("sanitized")
    skip_without("address,undefined", folder)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    settings = ["-DU2FORGE_NATIVE_TESTS=ON", "-DU2FORGE_SANITIZE=address,undefined"]
    settings.append(f"-DU2FORGE_LEVELS={levels_to_build()}")
    succeed("cmake", "-S", SOURCE, "-B", folder, *generator, *settings, f"-DCMAKE_CXX_COMPILER={compiler()}")
    cores = len(os.sched_getaffinity(0))
    build = ["cmake", "--build", str(folder), "--parallel", str(min(4, cores)), "--target"]
    succeed(*build, *PROGRAMS, timeout=BUILD_TIMEOUT)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_addresses_and_undefined_behaviour(checked_build: Path, program: str) -> None:
    succeed(checked_build / program, str(PROGRAMS[program]))


def test_the_thread_pool_has_no_races(tmp_path: Path) -> None:
    skip_without("thread", tmp_path)
    program = tmp_path / "thread_pool_test"
    sources = NATIVE / "tests" / "thread_pool_test.cpp", NATIVE / "src" / "thread_pool.cpp"
    succeed(compiler(), "-std=c++17", "-O1", "-g", "-fsanitize=thread", "-pthread", *sources, "-o", program)
    done = run(program, "1000")
    if "unexpected memory mapping" in done.stderr:
        # Newer kernels put more random bits into addresses than older compilers' thread sanitizer can live with.
        if not shutil.which("setarch") or run("setarch", "-R", "true").returncode:
            pytest.skip("the thread sanitizer does not run under this kernel")
        done = run("setarch", "-R", program, "1000")
    assert done.returncode == 0, done.stderr[-8000:]
