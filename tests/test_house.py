"""What can drift: who imports whom, what is loaded early, what the README says is there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*ROOT.glob("rft/**/*.py"), *ROOT.glob("app/**/*.py")])


def imported(file: Path) -> set[str]:
    """The top-level packages and modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(names: set[str], *packages: str) -> set[str]:
    return {n for n in names if any(n == p or n.startswith(f"{p}.") for p in packages)}


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_one_way(file: Path) -> None:
    names = imported(file)
    if file.is_relative_to(ROOT / "rft"):
        assert not within(names, "app", "gradio")
        if "scenes" in file.parts or file.stem in (
            "parse",
            "rewards",
            "tasks",
            "types",
            "data",
            "zoo",
        ):
            assert not within(names, "torch", "transformers")
    else:
        assert not within(names, "torch", "transformers") or file.stem == "bench"


def test_the_page_is_built_without_torch() -> None:
    code = "import sys, app.ui; app.ui.build(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("False")


def test_the_readme_maps_every_module() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fence = text.split("## File map")[1].split("```")[1]
    named = set(re.findall(r"\b([a-z_]+)\.py\b", fence))
    assert named == {f.stem for f in [*MODULES, ROOT / "app.py"]} - {"__init__", "__main__"}


def test_every_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    from rft.__main__ import COMMANDS

    assert set(re.findall(r"python -m rft (\w+)", text)) == set(COMMANDS)


def test_what_is_bundled_is_small() -> None:
    files = [file for file in (ROOT / "assets").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 60e6


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "assets" / "tiny").iterdir()), ids=lambda folder: folder.name
)
def test_bundled_weights_are_small_safetensors(folder: Path) -> None:
    files = [f for f in folder.iterdir() if f.is_file()]
    assert any(f.suffix == ".safetensors" for f in files)
    assert all(f.stat().st_size <= 9.5e6 for f in files)
    assert not [f for f in files if f.suffix in (".bin", ".pt", ".pkl", ".py")]
