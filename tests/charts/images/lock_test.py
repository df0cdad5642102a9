"""Images install nothing but what `requirements` holds by hash, and that is what constraints.txt pins."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.charts.dockerfile import TARGETS, extras_of, lineage, stages
from tests.charts.image_contents_test import installed_with
from tests.charts.images.lock import FOLDER, PYTHON, STAGES, constraints, locked
from tests.charts.tools import ROOT

# Besides torch it holds what no other build of torch needs, and no pin names.
CUDA = "torch-cuda"


def stage_of(target: str) -> str:
    return next(
        name for stage in lineage(target) for name in STAGES if stage is stages()[name] or stage == stages()[name]
    )


def test_every_wheel_has_a_hash_and_the_version_that_is_pinned() -> None:
    pinned = constraints()
    # Beside the pins lie lists of what images leave out.
    names = [path.stem for path in FOLDER.glob("*.txt") if not path.stem.startswith("left-out")]
    assert {*STAGES, "build", "torch-cpu", CUDA} == set(names)
    for name in names:
        for package, pin in locked(name).items():
            assert pin.hashes and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pin.hashes), package
            wanted = pinned.get(package, pin.version if name == CUDA else "no pin")
            assert pin.version.removesuffix("+cpu") == wanted, f"{name}: {package}; run `make lock`"


@pytest.mark.parametrize("target", TARGETS)
def test_the_file_of_an_image_holds_all_that_its_extras_need(target: str) -> None:
    held = set(locked(stage_of(target)))
    assert installed_with(extras_of(target)) - {"drillyard", "torch"} - set(locked(CUDA)) - held == set()


def test_the_build_of_our_wheel_needs_nothing_else() -> None:
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    held = locked("build")
    for requirement in map(Requirement, requires):
        assert str(requirement.specifier) == f"=={held[canonicalize_name(requirement.name)].version}"


def test_pip_takes_nothing_without_a_hash_and_every_base_has_a_digest() -> None:
    everything = stages()
    commands = [run for stage in everything.values() for run in stage.all_of("RUN") if "pip" in run]
    calls = [call for run in commands for call in re.findall(r"pip (?:install|wheel)[^&]*", run)]
    assert len(calls) == 2 + 2 * len(STAGES)
    assert [call for call in calls if not {"--require-hashes", "--no-index"} & set(call.split())] == []
    bases = {stage.base for stage in everything.values() if stage.base not in everything}
    assert bases == {"${PYTHON}"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(rf"^ARG PYTHON=python:{PYTHON}-slim@sha256:[0-9a-f]{{64}}$", dockerfile, re.MULTILINE)
