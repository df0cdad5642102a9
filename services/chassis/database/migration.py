"""Brings a service's database to the schema of its code, in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition

# Any fixed number: replicas that start together take turns on it.
_ADVISORY_LOCK = 0x6472696C6C
_VERSIONS = "alembic_version"


async def migrate(database: Database, script_location: Path) -> None:
    """Upgrade the database to the newest revision in `script_location`, or leave it as it was.

    Args:
        database: The service's database.
        script_location: Folder of Alembic revision files (`0001_first.py` …), each named as its revision; no `env.py`
            is needed.

    Raises:
        FailedPrecondition: The database was written by a newer release.
    """
    async with database.session(is_limited=False) as session:
        await (await session.connection()).run_sync(_upgrade, script_location)


def _upgrade(connection: Connection, script_location: Path) -> None:
    if connection.dialect.name == "postgresql":
        # A large table takes its time, and so does another replica that is at it.
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    if _is_newest(connection, script_location):
        return
    # It costs each service 9 MB and a part of its start, which only another release's database is worth.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(script_location), version_locations=[str(script_location)])
    context = MigrationContext.configure(
        connection,
        opts={
            "script": script,
            "transactional_ddl": True,
            "fn": lambda revision, _context: script._upgrade_revs("head", revision),
        },
    )
    revisions = {revision.revision for revision in script.walk_revisions()}
    heads = context.get_current_heads()
    unknown = sorted(set(heads) - revisions)
    if unknown:
        raise FailedPrecondition(
            f"The database has schema {', '.join(unknown)}, which is newer than this release knows.",
            "Start the newer release again, or restore a backup made before the upgrade.",
        )
    if set(heads) != set(script.get_heads()):
        with Operations.context(context):
            context.run_migrations()


def _is_newest(connection: Connection, script_location: Path) -> bool:
    if not connection.dialect.has_table(connection, _VERSIONS):
        return False
    revisions = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalars().all()
    return list(revisions) == [max(file.stem for file in script_location.glob("[0-9]*.py"))]
