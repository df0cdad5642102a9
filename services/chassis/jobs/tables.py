"""The two tables of jobs, which every service's own migrations create, and which holds of jobs last."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database.lease import boot_seconds
from services.chassis.jobs.job import OWNED_STATES

METADATA = MetaData()
_JSON = JSON(none_as_null=True)
_TIME = DateTime(timezone=True)

JOBS = Table(
    "jobs",
    METADATA,
    Column("ordinal", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("spec", _JSON, nullable=False),
    Column("progress", _JSON, nullable=False),
    Column("result", _JSON),
    Column("error", _JSON),
    Column("saved", _JSON),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", String),
    Column("lease_until", Float),
    Column("lease_expire_time", _TIME),
    Column("create_time", _TIME, nullable=False),
    Column("update_time", _TIME, nullable=False),
    Column("start_time", _TIME),
    Column("end_time", _TIME),
    Column("last_sequence", Integer, nullable=False),
    Column("num_barren_holds", Integer, nullable=False, server_default="0"),
    Column("furthest", _JSON, nullable=False, server_default="{}"),
    Column("worked_seconds", Float),
    Column("workspace_id", String, nullable=False, server_default="default"),
    Column("caller", String, nullable=False, server_default=""),
    UniqueConstraint("kind", "request_id", name="uq_jobs_kind_request_id"),
    Index("ix_jobs_kind_state", "kind", "state"),
    Index("ix_jobs_kind_ordinal", "kind", "ordinal"),
    sqlite_autoincrement=True,
)

JOB_EVENTS = Table(
    "job_events",
    METADATA,
    Column("job_id", String, ForeignKey("jobs.job_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time", _TIME, nullable=False),
    Column("type", String, nullable=False),
    Column("payload", _JSON, nullable=False),
)

# What each workspace had generated or trained, by calendar month in UTC, such as `2026-05`.
WORKSPACE_TOKENS = Table(
    "workspace_tokens",
    METADATA,
    Column("workspace_id", String, primary_key=True),
    Column("month", String, primary_key=True),
    Column("num_tokens", BigInteger, nullable=False),
)


def create_job_tables() -> None:
    """Create the job tables; for the first revision of a service's migrations.

    A later form comes as a function of its own, for a later revision, which leaves out what a new database has.
    """
    METADATA.create_all(_bind(), tables=[JOBS, JOB_EVENTS], checkfirst=False)


def add_holds() -> None:
    """Add to the jobs what tells whether their holders made progress, and the index of their list."""
    connection = _bind()
    columns = {column["name"] for column in inspect(connection).get_columns("jobs")}
    for name, kind, default in (("num_barren_holds", "INTEGER", "0"), ("furthest", "JSON", "{}")):
        if name not in columns:
            connection.execute(text(f"ALTER TABLE jobs ADD COLUMN {name} {kind} NOT NULL DEFAULT '{default}'"))
    connection.execute(text("CREATE INDEX IF NOT EXISTS ix_jobs_kind_ordinal ON jobs (kind, ordinal)"))


def add_worked_seconds() -> None:
    """Add to the jobs for how long they were worked on; nothing is known of those that ended before."""
    connection = _bind()
    if "worked_seconds" not in {column["name"] for column in inspect(connection).get_columns("jobs")}:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN worked_seconds FLOAT"))


def add_workspaces() -> None:
    """Add to the jobs whose they are, and the table of tokens; jobs of before belong to the default workspace."""
    connection = _bind()
    columns = {column["name"] for column in inspect(connection).get_columns("jobs")}
    for name, default in (("workspace_id", "default"), ("caller", "")):
        if name not in columns:
            connection.execute(text(f"ALTER TABLE jobs ADD COLUMN {name} VARCHAR NOT NULL DEFAULT '{default}'"))
    WORKSPACE_TOKENS.create(connection, checkfirst=True)


def _bind() -> Connection:
    # Alembic costs a service memory and a part of its start; only a migration needs it.
    from alembic import op

    return op.get_bind()


async def database_clock(session: AsyncSession) -> float:
    """Return PostgreSQL's clock, on which its leases run, in seconds."""
    seconds = await session.execute(text("SELECT extract(epoch FROM clock_timestamp())"))
    return float(seconds.scalar_one())


async def live_epochs(session: AsyncSession, job_ids: Collection[str]) -> Mapping[str, int]:
    """Return the present epoch of each of the jobs that somebody holds whose lease lasts."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    clock = boot_seconds() if is_sqlite else await database_clock(session)
    owned = JOBS.c.state.in_(sorted(map(str, OWNED_STATES)))
    held = select(JOBS.c.job_id, JOBS.c.epoch).where(JOBS.c.job_id.in_(job_ids), owned, JOBS.c.lease_until > clock)
    return {row.job_id: row.epoch for row in await session.execute(held)}
