"""Judges all work of a storm, of every kind of job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.storm.databases import Databases
from tests.storm.ledger import Ledger
from tests.storm.oracle.effects import judge_evaluations, judge_loops, judge_runs, judge_training, judge_versions
from tests.storm.oracle.feedback import judge_builds, judge_feedback_imports
from tests.storm.oracle.jobs import judge_jobs
from tests.storm.oracle.judgement import Judgement
from tests.storm.oracle.schedules import judge_schedules
from tests.storm.oracle.shipping import judge_publications, judge_shipments


async def judge_work(
    ledger: Ledger,
    references: Mapping[tuple[str, str], str],
    databases: Databases,
    judgement: Judgement,
    data_dir: Path,
) -> None:
    """Look at every job and at what it made.

    Args:
        references: The job of each kind and shape that was done in calm weather.
    """
    acknowledged = ledger.jobs()
    judge_jobs(ledger, databases, judgement)
    judge_runs(acknowledged, references, databases, judgement)
    judge_evaluations(databases, judgement)
    judge_training(databases, judgement, data_dir)
    judge_loops(databases, judgement)
    await judge_versions(databases, judgement, data_dir)
    judge_builds(acknowledged, references, databases, judgement)
    judge_feedback_imports(acknowledged, databases, judgement)
    judge_schedules(ledger, databases, judgement)
    judge_publications(databases, judgement, data_dir)
    judge_shipments(databases, judgement)
