"""Figures of the house: how much code there is, and how many files a change touches.

`python tests/house/figures.py` prints the table of CONTRIBUTING.md. A change is counted by the product files that hold
the name of something that was changed that way before: whoever adds another of its kind writes in the same places.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("services", "ui")

CHANGES = {
    "a plain field of a training job": ("warmup_ratio", PRODUCT, 4),
    "a sampling field": ("min_p", PRODUCT, 6),
    "an RPC without a decision": (r"ListTestRuns\w*|list_test_runs", PRODUCT, 7),
    "a Roo tool of the XML client": ("search_files", ("services/protocols/roo_xml", "services/protocols/roo"), 3),
    "a Roo tool of the native client": (
        "search_files",
        ("services/protocols/roo_native", "services/protocols/roo"),
        3,
    ),
}
"""By kind of change: a name that stands for it, where it is looked for (contracts besides), and most files."""


def python_files(*folders: str) -> list[Path]:
    """Return the tracked or new Python files below folders of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listing.splitlines() if line.endswith(".py") and (ROOT / line).is_file()]


def num_lines(*folders: str) -> int:
    """Return how many lines the Python files below folders have."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*folders))


def function_lengths() -> list[int]:
    """Return the lines of every function of the product, its docstring included."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in python_files(*PRODUCT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def share_of_short_functions() -> float:
    """Return the share of functions with three lines or fewer."""
    lengths = function_lengths()
    return sum(length <= 3 for length in lengths) / len(lengths)


def touched_files(pattern: str, folders: tuple[str, ...]) -> list[str]:
    """Return the product files and contracts that hold the name."""
    name = re.compile(rf"\b(?:{pattern})\b")
    paths = [*python_files(*folders), *(ROOT / "proto" / "drillyard").rglob("*.proto")]
    paths = [path for path in paths if not {"stocks", "suites", "scenarios"} & set(path.parts)]
    return sorted(str(path.relative_to(ROOT)) for path in paths if name.search(path.read_text(encoding="utf-8")))


def circle() -> list[str]:
    """Return modules that import each other in a circle, TYPE_CHECKING imports included; none: an empty list."""
    graph = grimp.build_graph("services", "ui", exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


def main() -> None:
    """Print the table."""
    lengths = function_lengths()
    print("| figure | now | aim |\n|---|---|---|")
    print(f"| lines of Python in services and ui | {num_lines(*PRODUCT):,} | 50,000 |")
    print(f"| lines of Python in tests/fakes | {num_lines('tests/fakes'):,} | 1,300 |")
    print(f"| median lines of a function | {statistics.median(lengths):.0f} | 8 to 12 |")
    print(f"| functions of three lines or fewer | {share_of_short_functions():.0%} | 15 % |")
    print(f"| circles of imports | {'none' if not circle() else ' → '.join(circle())} | none |")
    for change, (pattern, folders, most) in CHANGES.items():
        files = touched_files(pattern, folders)
        print(f"| files touched by {change} | {len(files)}: {', '.join(files)} | {most} |")


if __name__ == "__main__":
    main()
