"""Counts the files between `drillyard test-runs start` and the first token: `python -m tests.house.path_of_a_test_run`.

It starts a registry, a test runner and a gateway with a tiny random model, each with a hook that notes the files of the
functions that are called from the command's first call to the first token. What importing a module calls is left out.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.integration.processes import ServiceProcess, start_service
from tests.integration.tiny_stack import MODEL, tiny_stack

ROOT = Path(__file__).resolve().parents[2]
# The first call of this function in the worker is the choice of the first token.
FIRST_TOKEN = ("services/lm/generation/sampling.py", "choose")
_IDLE, _RECORDING, _OVER = b"\0", b"\1", b"\2"

_HOOK = f"""
import mmap, os, signal, sys, threading

# Workers get few of the environment's variables, so the hook knows its files by its own place.
place_of_phase = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "phase")
phase = mmap.mmap(os.open(place_of_phase, os.O_RDWR), 1)
report = os.open(place_of_phase + ".files", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
places, noted, imports = {{}}, set(), threading.local()

def place_of(name):
    name = os.path.relpath(name, {str(ROOT)!r}) if name.startswith({str(ROOT)!r}) else ""
    return name if name.startswith(("services/", "ui/")) else ""

def note(frame, event, _):
    code = frame.f_code
    if code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
        imports.depth = max(0, getattr(imports, "depth", 0) + (event == "call") - (event == "return"))
    if event != "call" or phase[0] != 1 or getattr(imports, "depth", 0):
        return
    place = places.get(code.co_filename)
    if place is None:
        place = places[code.co_filename] = place_of(code.co_filename)
    if place and place not in noted:
        noted.add(place)
        os.write(report, f"{{place}}\\t{{code.co_qualname}}\\n".encode())
    if place == {FIRST_TOKEN[0]!r} and code.co_name == {FIRST_TOKEN[1]!r}:
        phase[0] = 2

threading.setprofile(note)
signal.signal(signal.SIGUSR1, lambda *_: sys.setprofile(note))
if phase[0] == 1:
    sys.setprofile(note)
"""


async def first_calls() -> list[str]:
    """Return the product's files in the order of their first call."""
    with tempfile.TemporaryDirectory() as folder:
        phase_file = _install_hook(Path(folder))
        async with tiny_stack(Path(folder), num_cases=2) as stack:
            nowhere = {f"{name}_address": "127.0.0.1:9" for name in ("evaluator", "trainer", "feedback")}
            services = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
            with start_service("gateway", Path(folder), port=0, **nowhere, **services) as gateway:
                url = f"http://{gateway.address}"
                command = ("test-runs", "start", MODEL, "--suite", stack.suite, "--no-follow", "--url", url)
                with phase_file.open("r+b") as file, mmap.mmap(file.fileno(), 1) as phase:
                    await asyncio.to_thread(_record, phase, command, (stack.registry, stack.runner, gateway))
        lines = phase_file.with_name(f"{phase_file.name}.files").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.partition("\t")[0] for line in lines))


def _record(phase: mmap.mmap, command: tuple[str, ...], services: tuple[ServiceProcess, ...]) -> None:
    phase[:] = _RECORDING
    for service in services:
        service.process.send_signal(signal.SIGUSR1)
    # There is no evaluator, which the command would ask next.
    process = subprocess.Popen([sys.executable, "-m", "ui.cli", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 300.0
        while phase[:] != _OVER:
            assert time.monotonic() < end, "no token was chosen"
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()


def _install_hook(folder: Path) -> Path:
    phase_file, hook = folder / "phase", folder / "hook" / "sitecustomize.py"
    phase_file.write_bytes(_IDLE)
    hook.parent.mkdir()
    hook.write_text(_HOOK, encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(hook.parent), str(ROOT), str(ROOT / "proto" / "gen")))
    return phase_file


def main() -> None:
    """Print the files in the order of their first call, and their number by part."""
    files = asyncio.run(first_calls())
    print(*files, sep="\n")
    parts = Counter("/".join(Path(file).parts[: 2 if file.startswith("services/") else 1]) for file in files)
    print(f"{len(files)} files:", ", ".join(f"{part} {count}" for part, count in parts.most_common()))


if __name__ == "__main__":
    main()
