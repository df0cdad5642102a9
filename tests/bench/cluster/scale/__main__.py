"""What many runs at once cost: `python -m tests.bench.cluster.scale [--runs 50,200,1000] [--database sqlite]`.

The real registry, and replicas of test-runner and evaluator, work on so many test runs at once, each of a few cases
that a made-up endpoint answers; each has an evaluation that follows it, and one who watches it. The endpoint holds all
answers back until every run has asked, so that the phases can be told apart. Computing is told in processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.cluster.scale.load import Measured, measure
from tests.bench.cluster.scale.operations import measure_operations
from tests.bench.cluster.scale.stack import gated_endpoint, running_stack

_PER_GIBIBYTE: Final = 2.0**30


def main() -> None:
    """Measure each level over services of its own, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster.scale")
    parser.add_argument("--runs", default="50,200,1000", help="runs at once; several levels with commas")
    parser.add_argument("--cases", type=int, default=2, help="of each run")
    parser.add_argument("--replicas", type=int, default=2, help="of test-runner and of evaluator; with SQLite one")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--operations", action="store_true", help="cost of each operation with so many jobs")
    arguments = parser.parse_args()
    replicas = arguments.replicas if arguments.database == "postgresql" else 1
    for num_runs in map(int, arguments.runs.split(",")):
        print(f"{num_runs} runs at once, {arguments.database}, {replicas} of each", flush=True)
        if arguments.operations:
            print(json.dumps(measure_operations(arguments.database, num_runs), indent=1), flush=True)
            continue
        with tempfile.TemporaryDirectory() as name, gated_endpoint() as gate:
            folder = Path(name)
            with running_stack(arguments.database, folder, replicas=replicas, num_runs=num_runs) as stack:
                measured = asyncio.run(measure(stack, gate, folder, num_runs=num_runs, num_cases=arguments.cases))
        print(json.dumps(as_document(measured), indent=1), flush=True)


def as_document(measured: Measured) -> dict[str, object]:
    """Return what was measured, divided by what caused it."""
    num_runs, seconds = measured.num_runs, measured.seconds
    spent = measured.processor_seconds
    idle = {service: value / seconds["idle"] for service, value in spent["idle"].items()}
    held = {service: value / seconds["held"] - idle[service] for service, value in spent["held"].items()}

    def beyond_holding(phase: str, number: int) -> dict[str, float]:
        """Return milliseconds of the processor per one of `number`, without what services and waiting runs take."""
        waiting = measured.run_seconds[phase] / num_runs
        return {
            service: round(1000 * (value - idle[service] * seconds[phase] - held[service] * waiting) / number, 2)
            for service, value in spent[phase].items()
        }

    return {
        "num_runs": num_runs,
        "seconds": {phase: round(value, 1) for phase, value in seconds.items()},
        "idle_cores": {service: round(value, 4) for service, value in idle.items()},
        "begin_ms_per_run": beyond_holding("begin", num_runs),
        "held_ms_per_run_and_second": {service: round(1000 * value / num_runs, 3) for service, value in held.items()},
        "answered_ms_per_case": beyond_holding("answered", num_runs * measured.num_cases),
        "calls_ms": {name: _quantiles(values) for name, values in measured.calls.items()},
        "oldest_waited_seconds": {kind: round(age, 1) for kind, age in measured.queue_ages.items()},
        "memory_gib": {name: round(value / _PER_GIBIBYTE, 3) for name, value in measured.memory_bytes.items()},
        "database_kib_per_run": {
            name: round(value / 1024 / num_runs, 1) for name, value in measured.database_bytes.items()
        },
        "connections": measured.num_connections,
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    def at(share: float) -> float:
        return round(1000 * seconds[min(int(share * len(seconds)), len(seconds) - 1)], 1)

    return {"p50": at(0.5), "p99": at(0.99)}


if __name__ == "__main__":
    main()
