"""A program runs as Python would run it, with MagicMind's names, which are there at no other time."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from u2forge.errors import InputError
from u2forge.magicmind.import_names import MODULES, installed_sdk
from u2forge.magicmind.magicmind_run import magicmind_run


def script(folder: Path, text: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


IMPORTS = """
    import magicmind.python.runtime as mm
    from magicmind.python.runtime.parser import Parser
    from magicmind.python.runtime import Builder, ModelKind
    from magicmind.python.common.types import get_numpy_dtype_by_datatype
    import magicmind.python.cc._pywrap_runtime as wrapped
    assert wrapped.Model is mm.Model and Parser is mm.Parser
    assert get_numpy_dtype_by_datatype(mm.DataType.UINT8).__name__ == "uint8"
"""


def test_the_names_lead_here_and_are_gone_afterwards(tmp_path: Path) -> None:
    assert magicmind_run(script(tmp_path, IMPORTS)) == 0
    assert not set(MODULES) & set(sys.modules)
    assert installed_sdk() is None


def test_the_program_sees_what_python_would_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 7")
    path = script(
        tmp_path,
        """
        import sys, beside, __main__
        assert __name__ == "__main__" and __main__.beside is beside
        print(sys.argv[1:], sys.path[0], __file__)
        """,
    )
    before = sys.argv, sys.path, sys.modules["__main__"]
    assert magicmind_run(path, ["--help", "x"]) == 0
    assert capsys.readouterr().out == f"['--help', 'x'] {tmp_path} {path}\n"
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before
    del sys.modules["beside"]


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no model')", 1, "no model\n"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()",
            0,
            "",
        ),
    ],
)
def test_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str, code: int, said: str
) -> None:
    assert magicmind_run(script(tmp_path, end)) == code
    captured = capsys.readouterr()
    assert captured.err == said
    assert ("late" in captured.out) == ("late" in end)


@pytest.mark.parametrize(
    "text",
    ["def fail():\n    raise ValueError('broken')\nfail()\n", "a = (\n", "import magicmind.python.nothing\n"],
)
def test_tracebacks_are_those_of_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "program.py"
    path.write_text(text)
    assert magicmind_run(path) == 1
    found = capsys.readouterr().err
    if "magicmind" in text:
        assert "of MagicMind, u2forge has magicmind, magicmind.python" in found
        return
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert (found, done.returncode) == (done.stderr, 1)


def test_an_interrupted_program_ends_with_130(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert magicmind_run(script(tmp_path, "raise KeyboardInterrupt")) == 130
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_an_installed_sdk_gives_way_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "packages" / "magicmind"
    (package / "python" / "runtime").mkdir(parents=True)
    for folder in (package, package / "python", package / "python" / "runtime"):
        (folder / "__init__.py").write_text("raise RuntimeError('no card')")
    monkeypatch.syspath_prepend(str(package.parent))
    assert magicmind_run(script(tmp_path, IMPORTS)) == 0
    assert (
        f"MagicMind is installed ({package / 'python' / 'runtime' / '__init__.py'}); the program gets"
        in caplog.text
    )
    # Nothing is shadowed outside.
    with pytest.raises(RuntimeError, match="no card"):
        importlib.import_module("magicmind")


def test_a_script_or_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a Python program that can be read; found No such file"):
        magicmind_run(tmp_path / "none.py")
    with pytest.raises(InputError, match=r"found a folder"):
        magicmind_run(tmp_path)
    with pytest.raises(InputError, match="engine"):
        magicmind_run(script(tmp_path, ""), engine="none")
    with pytest.raises(InputError, match="`python SCRIPT` runs the program on the card"):
        magicmind_run(script(tmp_path, ""), engine="magicmind")


def test_the_command_leaves_options_and_log_to_the_program(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import logging, sys
        logging.basicConfig(format="own: %(message)s", level=logging.INFO)
        logging.info("told")
        import magicmind.python.runtime as mm
        mm.BuilderConfig().parse_from_string('{"archs": []}')
        print(sys.argv[1:])
        sys.exit(4)
        """,
    )
    command = [
        sys.executable,
        "-m",
        "u2forge.cli.main",
        "magicmind",
        "run",
        str(path),
        "--json",
        "-v",
        "--engine",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "['--json', '-v', '--engine', 'x']\n")
    assert done.stderr.splitlines() == [
        "own: told",
        "u2forge.magicmind: WARNING: archs has no effect: there is no card to compile for: "
        "the model runs on this machine's devices",
    ]
