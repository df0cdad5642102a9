"""Size limits of docs/architecture.md that no linter knows."""

import ast
import functools
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOP = "services/trainer/training/loop.py"  # a flat training loop reads best in one piece
LIST = Path("findings")  # a list that grows by one file a finding: nothing in it belongs together


@functools.cache
def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout: run this test in a clone")
    return [Path(line) for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


@functools.cache
def function_lengths_and_class_widths() -> tuple[dict[str, int], dict[str, int]]:
    """The lines of every function and the public methods of every class, by file and name."""
    lengths, widths = {}, {}
    for path in python_files():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{path}:{node.lineno} {node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
            elif isinstance(node, ast.ClassDef):
                methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
                public = [method for method in methods if not method.name.startswith("_")]
                widths[f"{path}:{node.lineno} {node.name}"] = len(public)
    return lengths, widths


def line_count(path: Path) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def test_no_module_is_longer_than_its_ceiling() -> None:
    too_long = {
        str(path): line_count(path)
        for path in python_files()
        if line_count(path) > (400 if path.parts[0] == "tests" else 300)
    }
    assert not too_long


def test_no_function_is_longer_than_its_ceiling() -> None:
    lengths, _ = function_lengths_and_class_widths()
    product = {place: lines for place, lines in lengths.items() if not place.startswith("tests/")}
    assert not {place: n for place, n in product.items() if n > (100 if place.startswith(f"{LOOP}:") else 40)}


def test_no_class_has_more_public_methods_than_its_ceiling() -> None:
    _, widths = function_lengths_and_class_widths()
    assert not {place: n for place, n in widths.items() if n > 12}


def test_no_folder_has_more_entries_than_its_ceiling() -> None:
    entries: dict[Path, set[str]] = {}
    for path in tracked_files():
        for depth in range(1, len(path.parts)):
            entries.setdefault(Path(*path.parts[:depth]), set()).add(path.parts[depth])
    crowded = {}
    for folder, names in entries.items():
        counted = [name for name in names if not name.startswith(".") and name != "__init__.py"]
        if len(counted) > 15 and folder != LIST and not folder.parts[0].startswith("."):
            crowded[str(folder)] = sorted(counted)
    assert not crowded


@pytest.mark.parametrize(
    ("pattern", "ceiling"), [("proto/**/*.proto", 300), ("charts/**/*.yaml", 120), ("docs/**/*.md", 300)]
)
def test_no_contract_template_or_page_is_longer_than_its_ceiling(pattern: str, ceiling: int) -> None:
    exempt = {"values.yaml"}
    tracked = set(tracked_files())
    paths = [path for path in ROOT.glob(pattern) if path.relative_to(ROOT) in tracked]
    too_long = {str(path): line_count(path) for path in paths if line_count(path) > ceiling and path.name not in exempt}
    assert not too_long


def test_no_name_that_means_nothing_is_used_for_a_module() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager", "handler"}
    found = [path for path in python_files() if banned & {path.stem, *path.parts[:-1]}]
    assert not found
