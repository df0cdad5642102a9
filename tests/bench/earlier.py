"""How fast this build is beside an earlier one: `python -m tests.bench.earlier COMMIT [--help]`.

Both builds are measured in turn, each by its own programs in a checkout of its own, with the same packages: judging,
an evaluation, a run of 64 cases by a tiny random model, a training step of SmolLM2 behind a shared beginning, and the
start of the six services. Ratios are this build's speed by the earlier one's. Judging and training are measured in
processor time, the others by the clock; with `--processor` they too, as what the whole command takes, its set-up
included, which a busy machine hardly changes. Results are kept in build/bench/earlier.json; what is not measured anew
stays.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.pairs import compare
from tests.bench.results import Results

_ROOT: Final = Path(__file__).resolve().parents[2]

_RUN: Final = """
import asyncio, tempfile, time
from pathlib import Path
from drillyard.test_runner.v1 import test_runner_service_pb2_grpc as rpc
from tests.integration.tiny_stack import connected, create_run, finished_run, tiny_stack

async def main():
    with tempfile.TemporaryDirectory() as folder:
        async with tiny_stack(Path(folder), num_cases=64) as stack, connected(stack.runner) as channel:
            stub = rpc.TestRunnerServiceStub(channel)
            for name in ("warm", "measured"):
                start = time.perf_counter()
                run = await create_run(stub, name, test_suite_version_id=stack.suite)
                run = await finished_run(stub, run.test_run_id)
            assert run.num_transcripts == 64, run
            print("seconds", time.perf_counter() - start)

asyncio.run(main())
"""

_START: Final = """
import tempfile
import time
from pathlib import Path
from tests.integration.processes import start_service

NAMES = ("registry", "test_runner", "evaluator", "trainer", "feedback")
addresses = {f"{name}_address": "127.0.0.1:9" for name in NAMES}
wanted = {
    "registry": (),
    "test_runner": ("registry",),
    "evaluator": ("registry", "test_runner"),
    "trainer": ("registry",),
    "feedback": NAMES[:4],
    "gateway": NAMES,
}
seconds = 0.0
with tempfile.TemporaryDirectory() as folder:
    for name, others in wanted.items():
        ports = {"port": 0} if name == "gateway" else {}
        settings = {f"{other}_address": addresses[f"{other}_address"] for other in others}
        for _ in range(2):  # The first start makes the database.
            begun = time.monotonic()
            with start_service(name, Path(folder), **ports, **settings):
                last = time.monotonic() - begun
        seconds += last
print("seconds", seconds)
"""


@dataclass(frozen=True)
class _Measure:
    """What is run in each checkout, and the pattern of the number that it prints: a speed, or else seconds."""

    arguments: tuple[str, ...]
    pattern: str
    unit: str
    is_speed: bool = False
    is_by_clock: bool = False


_MEASURES: Final[Mapping[str, _Measure]] = {
    "judging": _Measure(
        ("-m", "tests.bench.protocols", "--rounds", "3"),
        r"answers judged a second\s+([\d,]+)",
        is_speed=True,
        unit="answers a second of processor time",
    ),
    "evaluation": _Measure(
        ("-m", "tests.bench.evaluation", "--transcripts", "10000", "--rounds", "1"),
        r"(?m)^seconds\s+([\d.]+)",
        unit="evaluations of 10,000 transcripts a second",
        is_by_clock=True,
    ),
    "run": _Measure(
        ("-c", _RUN), r"seconds ([\d.]+)", unit="runs of 64 cases a second, a tiny random model", is_by_clock=True
    ),
    "training": _Measure(
        ("-m", "tests.bench.lm", "--generate", "--train", "8"),
        r"train .* ([\d.]+) s processor",
        unit="steps of 8 rows a second of processor time and thread",
    ),
    "start": _Measure(
        ("-c", _START), r"seconds ([\d.]+)", unit="starts of all six services a second", is_by_clock=True
    ),
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the earlier build")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="compare processor time throughout")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(_MEASURES))
    options = parser.parse_args()
    results = Results(_ROOT / "build" / "bench" / "earlier.json", {"commit": options.commit})
    with tempfile.TemporaryDirectory() as folder:
        earlier = _checkout(options.commit, Path(folder))
        for name in options.only:
            measure = _MEASURES[name]
            is_whole = options.processor and measure.is_by_clock
            sides = [_side(measure, tree, is_whole=is_whole) for tree in (_ROOT, earlier)]
            unit = "commands a second of processor time" if is_whole else measure.unit
            results.add(compare(name, *sides, pairs=options.pairs, details={"unit": unit}))
            results.print_table()


def _checkout(commit: str, folder: Path) -> Path:
    """Return a checkout of the commit with its generated code."""
    archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    subprocess.run([sys.executable, "proto/generate.py"], cwd=folder, check=True)
    return folder


def _side(measure: _Measure, tree: Path, *, is_whole: bool) -> Callable[[], float]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tree), str(tree / "proto" / "gen")))}

    def speed() -> float:
        before = _processor_seconds()
        command = [sys.executable, *measure.arguments]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        number = re.search(measure.pattern, done.stdout)
        if done.returncode or number is None:
            raise SystemExit(f"{tree}: {' '.join(measure.arguments)[:80]} failed: {done.stderr[-1500:]}")
        if is_whole:
            return 1 / (_processor_seconds() - before)
        value = float(number[1].replace(",", ""))
        return value if measure.is_speed else 1 / value

    return speed


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
