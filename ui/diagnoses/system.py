"""Whether this machine can run everything: versions, torch and Ray, the port, disk, memory, files and proxies."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

import psutil
from packaging.requirements import Requirement

from services.chassis.errors import FailedPrecondition
from services.chassis.machine.memory import total_memory_bytes
from services.chassis.machine.proxies import proxy_for
from ui.cli.connection import Gateway, GatewayError
from ui.shared.words import size_text

_PYTHON = (3, 11)
_EXTRAS = ("gateway", "lm", "ray")
_INSTALL = "Run `make setup` in the checkout, or `pip install --constraint constraints.txt '.[all]'`."
# An import keeps a model three times for a while; a training of the demo's model takes some 3 GB.
_LEAST_DISK_BYTES, _LOW_DISK_BYTES = 1_000_000_000, 10_000_000_000
_LEAST_MEMORY_BYTES, _LOW_MEMORY_BYTES = 1_000_000_000, 4_000_000_000
_LEAST_FILES = 1024
_COMPUTE = "import torch, ray; print(torch.__version__, ray.__version__, torch.cuda.is_available())"
_COMPUTE_SECONDS = 180.0

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: how it stands, and what mends it where it is not well."""

    name: str
    severity: Severity
    found: str
    mend: str = ""


def check_system(data_dir: Path, gateway: Gateway) -> Iterator[Check]:
    """Look at one thing after the other, torch and Ray last, which take seconds.

    Args:
        data_dir: Where everything will be kept; it need not be there yet.
        gateway: At the address that the pages will have, or have already.
    """
    checks: tuple[Callable[[], Check], ...] = (
        _check_python,
        _check_packages,
        lambda: _check_port(gateway),
        lambda: _check_disk(data_dir),
        _check_memory,
        _check_files,
        _check_proxies,
        _check_compute,
    )
    for check in checks:
        yield check()


def _check_python() -> Check:
    found = f"Python {sys.version.split()[0]}"
    if sys.version_info < _PYTHON:
        return Check("python", "error", found, "Install Python 3.11 or newer and run `make PYTHON=python3.11 setup`.")
    return Check("python", "ok", found)


def _check_packages() -> Check:
    try:
        requirements = [Requirement(text) for text in metadata.requires("drillyard") or ()]
    except metadata.PackageNotFoundError:
        return Check("packages", "error", "Drillyard itself is not installed in this Python.", _INSTALL)
    needed = [item for item in requirements if item.name != "drillyard" and _is_needed(item)]
    wrong = [text for item in needed if (text := _difference(item))]
    if wrong:
        return Check("packages", "error", f"{'; '.join(wrong[:5])}; {len(wrong)} in all.", _INSTALL)
    return Check("packages", "ok", f"{len(needed)} packages in the pinned versions")


def _is_needed(item: Requirement) -> bool:
    return item.marker is None or any(item.marker.evaluate({"extra": extra}) for extra in _EXTRAS)


def _difference(item: Requirement) -> str:
    try:
        version = metadata.version(item.name)
    except metadata.PackageNotFoundError:
        return f"{item.name} is not installed"
    return (
        "" if item.specifier.contains(version, prereleases=True) else f"{item.name} is {version}, not {item.specifier}"
    )


def _check_compute() -> Check:
    command = [sys.executable, "-c", _COMPUTE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPUTE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        found = f"torch and Ray were not loaded within {_COMPUTE_SECONDS:.0f} s."
        return Check("torch and ray", "error", found, "Look at how busy the disk and the processor are.")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Check("torch and ray", "error", f"They cannot be loaded: {reason}", _INSTALL)
    torch, ray, has_gpu = done.stdout.split()
    device = "a GPU" if has_gpu == "True" else f"no GPU, {os.cpu_count()} processor cores"
    return Check("torch and ray", "ok", f"torch {torch}, Ray {ray}, {device}")


def _check_port(gateway: Gateway) -> Check:
    place = urlsplit(gateway.url)
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
        probe.settimeout(5.0)
        try:
            is_taken = probe.connect_ex((host, port)) == 0
        except OSError as error:
            return Check(
                "port", "error", f"{gateway.url} cannot be looked up: {error}.", "Correct --url or DRILLYARD_URL."
            )
    if not is_taken:
        return Check("port", "ok", f"nothing listens at {host}:{port}; `drillyard up` can")
    try:
        gateway.get("/loops", page_size=1)
    except GatewayError as error:
        if error.code == "UNAUTHENTICATED":
            return Check("port", "ok", f"Drillyard answers at {gateway.url} and asks for a key")
        mend = f"{error.next_step} If it is another program, give `drillyard up` another --port and commands its --url."
        return Check("port", "error", f"What listens at {gateway.url} gives no answer: {error.problem}", mend.lstrip())
    return Check("port", "ok", f"Drillyard answers at {gateway.url}")


def _check_disk(data_dir: Path) -> Check:
    folder = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check("disk", "error", f"{folder} cannot be written.", "Name another folder with --data.")
    free = shutil.disk_usage(folder).free
    mend = "Run `drillyard gc`, delete what is not needed, or name a folder on another disk with --data."
    return _room("disk", free, (_LEAST_DISK_BYTES, _LOW_DISK_BYTES), f" at {folder}", mend)


def _check_memory() -> Check:
    free = min(psutil.virtual_memory().available, total_memory_bytes())
    return _room(
        "memory",
        free,
        (_LEAST_MEMORY_BYTES, _LOW_MEMORY_BYTES),
        "",
        "End what takes memory, or choose a smaller model.",
    )


def _room(name: str, free: int, limits: tuple[int, int], place: str, mend: str) -> Check:
    least, low = limits
    severity: Severity = "error" if free < least else "warning" if free < low else "ok"
    return Check(name, severity, f"{size_text(free)} free{place}", "" if severity == "ok" else mend)


def _check_files() -> Check:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= limit < _LEAST_FILES:
        mend = f"Run `ulimit -n {_LEAST_FILES}` in the shell before `drillyard up`."
        return Check("files", "warning", f"{limit} open files a process", mend)
    return Check("files", "ok", "no limit" if limit == resource.RLIM_INFINITY else f"{limit} open files a process")


def _check_proxies() -> Check:
    names = sorted(getproxies())
    if not names:
        return Check("proxies", "ok", "none in the environment")
    try:
        for scheme in ("http", "https"):
            # A name that no list of exceptions holds.
            proxy_for(scheme, "host.invalid")
    except FailedPrecondition as error:
        return Check("proxies", "warning", error.problem, error.next_step)
    return Check("proxies", "ok", f"{', '.join(names)}: asked for what is outside, never for this machine")
