"""`python -m tests.charts.images.lock`: writes what images install to `requirements`, each wheel with its SHA-256.

A file a stage of the Dockerfile, for Linux on x86-64 and aarch64 and the Python of the base. The hashes are those that
the index of uv tells. Torch stands apart, with what it alone needs: for CUDA as that index has it, for the CPU alone as
the indexes and folders in pip's settings have it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.charts.dockerfile import extras_of
from tests.charts.tools import ROOT

FOLDER = ROOT / "requirements"
STAGES = {
    "light": "evaluator",
    "compute": "registry",
    "ray": "trainer",
    "gateway": "gateway",
    "trainer-light": "trainer-light",
}
"""By file: an image that installs it."""
PYTHON = "3.11"
_MACHINES = ("x86_64", "aarch64")
_HEADER = "# Written by `make lock` from pyproject.toml and constraints.txt.\n"


@dataclass(frozen=True)
class Pin:
    """One version of a package, with the hashes of those of its wheels that fit."""

    version: str
    hashes: frozenset[str]

    def line(self, name: str) -> str:
        """Return it as pip reads it."""
        return " \\\n    ".join([f"{name}=={self.version}", *(f"--hash=sha256:{hash}" for hash in sorted(self.hashes))])


Pins = dict[str, Pin]


def constraints() -> dict[str, str]:
    """Return the pinned version of each package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def locked(name: str) -> Pins:
    """Return what a file of `requirements` holds."""
    text = (FOLDER / f"{name}.txt").read_text().replace("\\\n", " ")
    pins = {}
    for requirement, *options in map(str.split, filter(None, (line.partition("#")[0] for line in text.splitlines()))):
        package, _, version = requirement.partition("==")
        pins[package] = Pin(version, frozenset(option.removeprefix("--hash=sha256:") for option in options))
    return pins


def main() -> None:
    """Ask the index and write the files."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = constraints()
    with_torch = _resolved("-", requirements=["torch"])
    torch = {name: pin for name, pin in with_torch.items() if name == "torch" or name not in pinned}
    _write("torch-cuda", torch)
    _write("build", _resolved("-", requirements=pyproject["build-system"]["requires"]))
    for stage, target in STAGES.items():
        pins = _resolved("pyproject.toml", *(f"--extra={extra}" for extra in sorted(extras_of(target))))
        _write(stage, {name: pin for name, pin in pins.items() if name not in torch})
    if cpu := _torch_for_cpu(pinned["torch"]):
        _write("torch-cpu", {"torch": cpu})
    else:
        sys.exit(
            "No build of torch for the CPU alone is in reach of pip: requirements/torch-cpu.txt was left as it is."
        )


def _write(name: str, pins: Pins) -> None:
    (FOLDER / f"{name}.txt").write_text(_HEADER + "".join(f"{pins[key].line(key)}\n" for key in sorted(pins)))
    print(f"requirements/{name}.txt: {len(pins)} packages")


def _resolved(*sources: str, requirements: Sequence[str] = ()) -> Pins:
    versions: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    for machine in _MACHINES:
        for package in _packages(sources, requirements, f"{machine}-manylinux_2_36"):
            if not package.get("wheels"):
                sys.exit(f"{package['name']} {package['version']} has no wheel for Python {PYTHON} on {machine}.")
            versions[package["name"]] = package["version"]
            hashes.setdefault(package["name"], set()).update(wheel["hashes"]["sha256"] for wheel in package["wheels"])
    return {name: Pin(version, frozenset(hashes[name])) for name, version in versions.items()}


def _packages(sources: Sequence[str], requirements: Sequence[str], platform: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pylock.toml"
        command = ["uv", "pip", "compile", *sources, "--quiet", "--constraints", "constraints.txt", "--no-build"]
        command += ["--python-platform", platform, "--python-version", PYTHON, "--format", "pylock.toml"]
        command += ["--output-file", str(output)]
        done = subprocess.run(
            command, cwd=ROOT, input="\n".join(requirements), stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        packages: list[dict[str, Any]] = tomllib.loads(output.read_text())["packages"]
        return packages


def _torch_for_cpu(version: str) -> Pin | None:
    hashes = set()
    for machine in _MACHINES:
        # What pip finds for another machine, it may not install but in a folder.
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        command += ["--report", "-", "--target", "nowhere", "--only-binary", ":all:", "--python-version", PYTHON]
        command += ["--platform", f"manylinux_2_28_{machine}", f"torch=={version}+cpu"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"pip knows no torch {version}+cpu for {machine}.")
            continue
        hashes.add(json.loads(done.stdout)["install"][0]["download_info"]["archive_info"]["hashes"]["sha256"])
    return Pin(f"{version}+cpu", frozenset(hashes)) if hashes else None


if __name__ == "__main__":
    main()
