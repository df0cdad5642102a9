"""The migrations make the tables that the store uses, and keep what an earlier release stored."""

from __future__ import annotations

import json
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs.tables import METADATA as JOB_METADATA
from services.evaluator.domain.verdict import VerdictFilter
from services.evaluator.metrics.reduction import current_totals, gather_metrics
from services.evaluator.store.sql import MIGRATIONS, SqlEvaluationStore
from services.evaluator.store.tables import METADATA


async def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    await migrate(database, MIGRATIONS)
    expected = MetaData()
    for table in (*METADATA.sorted_tables, *JOB_METADATA.sorted_tables):
        table.to_metadata(expected)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), expected))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def step(connection: Connection, name: str) -> None:
    """Go one revision up to `name`."""
    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    module = script.get_revision(name).module
    with Operations.context(MigrationContext.configure(connection)):
        module.upgrade()


async def test_evaluations_of_an_earlier_release_stay_readable(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    subject = {
        "test_run_id": "run-1", "model_version_id": "m@1", "test_suite_version_id": "s@1", "test_suite_digest": "d",
        "profile_id": "roo_xml", "profile_digest": "d", "prompt_size": "compact", "num_repeats": 1, "seed": 0,
        "num_transcripts_total": 2, "sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 192},
    }  # fmt: skip
    passed = {"name": "call_present", "status": "passed", "detail": "", "span": None}
    failed = {"name": "parses", "status": "failed", "detail": "no", "span": [1, 2]}
    rows = [(1, True, "", [passed]), (2, False, "unclosed", [passed, failed])]
    async with database.session() as session:
        connection = await session.connection()
        await connection.run_sync(step, "0001_evaluations")
        await session.execute(
            text("INSERT INTO evaluations VALUES (1, 'eval-1', 'run-1', :subject, 'sha256:j', 2)"),
            {"subject": json.dumps(subject)},
        )
        for sequence, conforming, cause, layers in rows:
            await session.execute(
                text(
                    "INSERT INTO verdicts VALUES ('eval-1', :sequence, 't', :case, 0, 'read_file', 'read', "
                    ":conforming, :conforming, :conforming, :cause, 'So.', :layers)"
                ),
                {"sequence": sequence, "case": f"c{sequence}", "conforming": conforming, "cause": cause,
                 "layers": json.dumps(layers)},
            )  # fmt: skip
        await connection.run_sync(step, "0002_metrics")
    store = SqlEvaluationStore(database)
    record = await store.get_evaluation("eval-1")
    assert record is not None and record.subject.endpoint is None and record.totals is None
    [found] = await store.list_verdicts("eval-1", VerdictFilter(layer="parses"), after_sequence=0, limit=9)
    assert (found.sequence, found.num_turns, found.scores) == (2, 1, {})
    assert (await current_totals(store, record)).causes == {"unclosed": 1}
    metrics = await gather_metrics(store, record)
    assert (metrics.overall.conforming_rate, metrics.by_layer["parses"].num_passed) == (0.5, 0)
    await database.close()


async def test_figures_that_counted_cases_without_an_answer_are_made_again(tmp_path: Path) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{tmp_path}/state.db")
    async with database.session() as session:
        connection = await session.connection()
        for name in ("0001_evaluations", "0002_metrics"):
            await connection.run_sync(step, name)
        for place, cause in enumerate(("backend_fault", "no_call"), 1):
            await session.execute(
                text(
                    "INSERT INTO evaluations (ordinal, evaluation_id, test_run_id, subject, judge_digest, "
                    "num_verdicts, totals, metrics) "
                    f"VALUES ({place}, 'eval-{place}', 'run-1', '{{}}', 'd', 1, '{{}}', '{{}}')"
                )
            )
            await session.execute(
                text(
                    "INSERT INTO verdicts (evaluation_id, sequence, transcript_id, case_id, repeat, tool, category, "
                    "conforming, accepted, well_formed, cause, sentence, layers) "
                    f"VALUES ('eval-{place}', 1, 't', 'c', 0, 'read_file', 'read', 0, 0, 0, '{cause}', '', '[]')"
                )
            )
        await connection.run_sync(step, "0003_unanswered")
        rows = await session.execute(text("SELECT evaluation_id FROM evaluations WHERE metrics IS NULL"))
        assert rows.scalars().all() == ["eval-1"]
    await database.close()
