"""`python -m tests.storm --seed 1 --minutes 10`: kills services while they work, and judges what came of the work."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.storm.mutants import MUTANTS
from tests.storm.storm import Plan, Report, as_document, run_storm, write_report

_JOBS_PER_MINUTE = 20
# A mutant shows in the jobs of one or two services.
_MUTANT_JOBS_PER_MINUTE = 40
_MUTANT_MINUTES = 0.75
_MOST_SENTENCES = 20


def main() -> int:
    """Run one storm; 0 when no promise was broken, with a mutant when one was."""
    arguments = _arguments()
    mutant = MUTANTS.get(arguments.mutant)
    minutes = arguments.minutes or (_MUTANT_MINUTES if mutant else 10)
    plan = Plan(
        seed=arguments.seed,
        seconds=60 * minutes,
        num_jobs=arguments.jobs or round((_MUTANT_JOBS_PER_MINUTE if mutant else _JOBS_PER_MINUTE) * minutes),
        database="postgresql" if mutant and mutant.is_replicated else arguments.database,
        mutant=arguments.mutant,
    )
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="drillyard-storm-"))
    folder.mkdir(parents=True, exist_ok=arguments.folder is None)
    report = asyncio.run(run_storm(plan, folder))
    if arguments.report is not None:
        write_report(report, arguments.report)
    _show(report)
    is_as_promised = report.judgement.is_good != bool(mutant)
    if arguments.folder or not is_as_promised:
        print(f"Logs, databases and artifacts are kept in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_as_promised else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.storm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="10, with a mutant less")
    parser.add_argument("--jobs", type=int, default=0, help="20 a minute")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--mutant", choices=("", *MUTANTS), default="")
    parser.add_argument(
        "--folder", type=Path, help="a new folder, which is kept; else one that is kept when a promise was broken"
    )
    parser.add_argument("--report", type=Path, help="a file for the report as JSON")
    return parser.parse_args()


def _show(report: Report) -> None:
    for name, value in as_document(report).items():
        if isinstance(value, list):
            print(f"{name:24} {len(value)}")
            for sentence in value[:_MOST_SENTENCES]:
                print(f"    {sentence}")
        else:
            print(f"{name:24} {value}")


if __name__ == "__main__":
    sys.exit(main())
