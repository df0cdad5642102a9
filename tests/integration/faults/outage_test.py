"""A database server that is away for seconds, while a job of every kind is at work: what that costs is time alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.postgres import require_postgres
from tests.storm.storm import Plan, run_storm


@pytest.mark.timeout(900)
async def test_no_job_of_any_kind_is_lost_to_a_server_that_is_away(tmp_path: Path) -> None:
    require_postgres()
    plan = Plan(
        seed=1, seconds=0.0, num_jobs=0, database="postgresql", outage_seconds=5.0, lease_seconds=30.0, copies=1
    )
    judgement = (await run_storm(plan, tmp_path)).judgement
    assert (judgement.lost, judgement.doubled, judgement.wrong, judgement.left) == ([], [], [], [])
