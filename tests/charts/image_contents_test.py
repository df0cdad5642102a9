"""An image holds every package that its deployable imports, now or later, and less than those bring."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.charts.dockerfile import extras_of
from tests.charts.tools import DEPLOYABLES, ROOT
from tests.machine import PATIENCE_SECONDS

OURS = frozenset(("services", "ui", "drillyard"))
# Profiles are found by their names, so all of them may be loaded wherever one is.
PROFILES_PACKAGE = "services.protocols"
# Imports what it is told, as on a machine that has some packages only.
STARTS_WITHOUT = """
import importlib, importlib.abc, sys

absent, left_out = set(sys.argv[2].split(",")), tuple(sys.argv[3:])

class Present(importlib.abc.MetaPathFinder):
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in absent:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        spec = next((spec for spec in specs if spec), None)
        return None if spec and str(spec.origin).startswith(left_out) else spec

    def find_distributions(self, *context):
        finders = (finder for finder in self.finders if hasattr(finder, "find_distributions"))
        return (found for finder in finders for found in finder.find_distributions(*context))

sys.meta_path[:] = [Present(list(sys.meta_path))]
importlib.import_module(sys.argv[1])
"""


def main_module(target: str) -> str:
    return ("ui" if target == "gateway" else "services." + target.replace("-", "_")) + ".__main__"


def source_of(module: str) -> Path | None:
    """The file of a module of ours; a package stands for itself."""
    place = ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@functools.cache
def named_in(module: str) -> frozenset[str]:
    """All that a module imports, lazily too, and the modules of ours that it names in a text, to run or load them."""
    path = source_of(module)
    return frozenset(_names(ast.parse(path.read_text()))) if path else frozenset()


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (module, *(f"{module}.{name.name}" for name in names))
            case ast.Constant(value=str(text)) if text.partition(".")[0] in OURS and source_of(text):
                yield from (text, f"{text}.__main__")


def reached_from(module: str) -> set[str]:
    """The modules of ours that may run in a deployable and in the processes that it starts."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or source_of(name) is None:
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0], *named_in(name)]
        if name == PROFILES_PACKAGE:
            waiting += all_profiles()
    return found


def all_profiles() -> list[str]:
    folder = ROOT.joinpath(*PROFILES_PACKAGE.split("."))
    paths = (path.relative_to(ROOT).with_suffix("") for path in folder.rglob("*.py"))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def foreign_imports(module: str) -> dict[str, set[str]]:
    """The packages that are not ours and not Python's own, each with the modules that import it."""
    found = defaultdict(set)
    for ours in reached_from(module):
        for name in named_in(ours):
            top = name.partition(".")[0]
            if top not in OURS and top not in sys.stdlib_module_names:
                found[top].add(ours)
    return found


@functools.cache
def own_requirements() -> dict[str, tuple[str, ...]]:
    """What pyproject.toml asks for, by extra; "" is what every image gets."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {"": tuple(project["dependencies"])} | {
        name: tuple(wanted) for name, wanted in project["optional-dependencies"].items()
    }


def installed_with(extras: Iterable[str]) -> set[str]:
    """The distributions that pip installs for these extras, by canonical name."""
    seen: set[tuple[str, str]] = set()
    waiting = [("drillyard", extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, requirements_of(name, extra)):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = canonicalize_name(requirement.name)
                waiting += [(wanted, more) for more in ("", *requirement.extras)]
    return {name for name, _ in seen}


def requirements_of(name: str, extra: str) -> Iterable[str]:
    if name == "drillyard":
        return own_requirements()[extra]
    try:
        return distribution(name).requires or ()
    except PackageNotFoundError:
        # It is not installed here, so none of our imports comes from what it needs either.
        return ()


def left_out_of(target: str) -> list[Path]:
    """Files and folders here that requirements/slim.sh takes from an image."""
    lists = ["left-out"] if {"lm", "ray"} & extras_of(target) else ["left-out", "left-out-without-torch"]
    return [path for name in lists for found in taken_by(name).values() for path in found]


def taken_by(name: str) -> dict[str, list[Path]]:
    """What the patterns of a list find here, as a shell would."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    packages = Path(sysconfig.get_path("purelib"))
    return {line: list(packages.glob(line)) for line in lines if not line.startswith("#")}


@functools.cache
def distributions() -> dict[str, set[str]]:
    """The distributions that a package may come from, by its name."""
    return {top: {canonicalize_name(name) for name in names} for top, names in packages_distributions().items()}


@pytest.mark.parametrize("target", DEPLOYABLES)
def test_an_image_holds_all_that_its_deployable_imports(target: str) -> None:
    without = {canonicalize_name(path.name.partition("-")[0]) for path in left_out_of(target)}
    held = installed_with(extras_of(target)) - without
    missing = {
        top: sorted(importers)
        for top, importers in foreign_imports(main_module(target)).items()
        if not distributions().get(top, set()) & held
    }
    assert missing == {}


@pytest.mark.parametrize(
    ("target", "module"),
    [
        *((target, main_module(target)) for target in DEPLOYABLES),
        ("trainer-light", main_module("trainer")),
        # It looks at the rows of a job before that is made, by the model's tokenizer.
        ("trainer-light", "services.trainer.training.preflight.__main__"),
        ("trainer-light", "transformers.models.auto.tokenization_auto"),
    ],
)
def test_a_deployable_starts_with_nothing_but_what_its_image_holds(target: str, module: str) -> None:
    held = installed_with(extras_of(target)) | {"drillyard"}
    absent = {top for top, names in distributions().items() if not names & held}
    assert "pytest" in absent
    command = [sys.executable, "-c", STARTS_WITHOUT, module, ",".join(absent), *map(str, left_out_of(target))]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_trainer_that_computes_nothing_has_neither_torch_nor_ray() -> None:
    assert not {"torch", "ray", "numba", "peft"} & installed_with(extras_of("trainer-light"))


def test_a_package_that_an_image_lacks_is_seen() -> None:
    assert "torch" in foreign_imports(main_module("test-runner"))
    assert "openai" in foreign_imports(main_module("test-runner"))
    assert "sacrebleu" in foreign_imports(main_module("evaluator"))
    assert "torch" not in installed_with(extras_of("evaluator"))
    assert {"torch", "gradio"} & set(foreign_imports(main_module("evaluator"))) == set()
    assert {"psycopg", "psycopg-binary", "s3fs"} <= installed_with(extras_of("evaluator"))


@pytest.mark.parametrize("name", ["left-out", "left-out-without-torch"])
def test_all_that_images_leave_out_is_there_to_be_left_out(name: str) -> None:
    assert [pattern for pattern, found in taken_by(name).items() if not found] == []


@pytest.mark.parametrize("target", ["trainer", "ray-worker"])
def test_an_image_of_a_rayjob_has_the_dashboard_that_kuberay_submits_to_and_probes(target: str) -> None:
    held = installed_with(extras_of(target))
    wanted = {Requirement(text).name for text in requirements_of("ray", "default") if 'extra == "default"' in text}
    assert "aiohttp_cors" in wanted
    assert set(map(canonicalize_name, wanted)) <= held


def test_all_that_images_get_of_ray_is_pinned_and_set_up_on_no_laptop() -> None:
    pins = {canonicalize_name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for_images = installed_with({"ray", "ray-dashboard"}) - {"drillyard"}
    assert for_images <= pins
    makefile = re.sub(r"\\\n", " ", (ROOT / "Makefile").read_text())
    left_out = set(re.findall(r"(?m)^ELSEWHERE := (.*)$", makefile)[0].split())
    assert pins - installed_with({"dev"}) <= left_out
