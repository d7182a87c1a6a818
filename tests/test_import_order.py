"""Imports run along the data's path only, and no shared module imports a heavy package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import u2forge

ROOT = Path(u2forge.__file__).parent
ORDER = (
    "weights graph passes quantize model_file native gpu engine pipeline evaluate measure report verbs magicmind cli"
).split()
HEAVY = {
    "openvino",
    "onnxruntime",
    "torch",
    "triton",
    "pillow_heif",
    "skimage",
    "scipy",
    "pynvml",
    "magicmind",
}
# What is PyTorch through and through; others import it where it is needed only.
OF_TORCH = ("u2forge.gpu", "u2forge.engine.cuda_")


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_run_along_the_data_path() -> None:
    backward = []
    for path, tree in modules():
        parts = path.relative_to(ROOT).parts
        if len(parts) == 1:
            if parts[0] != "__init__.py":
                backward += [
                    f"{path.name} imports {name}" for name in imported(tree) if _folder(name) is not None
                ]
            continue
        own = ORDER.index(parts[0])
        backward += [
            f"{'/'.join(parts)} imports {name}"
            for name in imported(tree)
            if (folder := _folder(name)) is not None and ORDER.index(folder) > own
        ]
    assert backward == []


def _folder(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "u2forge" and len(parts) > 1 and parts[1] in ORDER else None


def test_every_folder_has_its_place_in_the_order() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(
        ORDER
    )


def test_heavy_packages_are_imported_when_needed_only() -> None:
    eager = [
        f"{path.relative_to(ROOT)} imports {alias}"
        for path, tree in modules()
        for node in tree.body
        for alias in imported(ast.Module(body=[node], type_ignores=[]))
        if isinstance(node, ast.Import | ast.ImportFrom) and _is_heavy(path, alias)
    ]
    assert eager == []


def _is_heavy(path: Path, module: str) -> bool:
    """Whether a file's import of a module loads a package that takes long."""
    own = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    return not own.startswith(OF_TORCH) and (module.split(".")[0] in HEAVY or module.startswith(OF_TORCH))


@pytest.mark.parametrize("module", ["u2forge", "u2forge.cli.main"])
def test_light_modules_load_no_package(module: str) -> None:
    code = f"import sys, {module}; print(*(set(sys.modules) & set(sys.argv[1:])))"
    unwanted = [*HEAVY, "onnx", "onnx_ir", "PIL", "numpy", "tqdm", "psutil"]
    answer = subprocess.run(
        [sys.executable, "-c", code, *unwanted], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == []


def test_infer_does_not_import_the_graph_libraries() -> None:
    code = (
        "import sys, u2forge.cli.infer; print(*(set(sys.modules) & {'onnx', 'onnx_ir', 'torch', 'openvino'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
