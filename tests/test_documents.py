"""The documents stay true to the program: options, verbs, links."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import pytest

from u2forge.cli.main import VERBS, parse, verb_of, verb_parser
from u2forge.cli.program import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def actions(verb: str) -> list[argparse.Action]:
    subparsers = next(a for a in verb_parser(verb)._actions if isinstance(a, argparse._SubParsersAction))
    return list(subparsers.choices[verb]._actions)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_the_reference(verb: str) -> None:
    assert re.search(rf"^## {verb}( [^a-z].*)?$", CLI, re.MULTILINE)
    longest = {max(action.option_strings, key=len) for action in actions(verb) if action.option_strings}
    assert {option for option in longest - {"--help", "--verbose"} if f"`{option}" not in CLI} == set()


def test_every_exit_code_is_in_the_reference() -> None:
    assert {code for code in EXIT_CODES.values() if f"\n| {code} |" not in CLI} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_parse(document: Path) -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL))
    commands = re.findall(r"^u2forge (.+?)(?:\s+#.*)?$", blocks, re.MULTILINE)
    for command in commands:
        words = command.replace("'", "").split()
        parse(verb_of(words), words)


@pytest.mark.weights
def test_the_python_of_the_readme_runs(
    u2net_onnx: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copyfile(photos / "b.jpg", tmp_path / "cat.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENTS[0].read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["pixels"].shape == (90, 50, 4)  # type: ignore[attr-defined]
    assert names["summary"].done == 5  # type: ignore[attr-defined]
