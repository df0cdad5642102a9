"""Brings a service's database to the schema of this release: `python -m services.migrate registry`.

A service does so itself when it starts. As a step before that, nothing that asks for its health ends it half-way.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import ServiceError
from services.chassis.settings import ServiceSettings, load_settings

_REVISIONS = {path.parent.parent.name: path for path in Path(__file__).parent.glob("*/store/migrations")}


def main(arguments: list[str]) -> int:
    """Return 0 when the database is as this release wants it, else say why and return 2."""
    parser = argparse.ArgumentParser(prog="python -m services.migrate")
    parser.add_argument("service", choices=sorted(_REVISIONS))
    service = parser.parse_args(arguments).service

    class Settings(ServiceSettings, env_prefix=f"{service.upper()}_"):
        pass

    try:
        asyncio.run(_migrate(load_settings(Settings).resolved_database_url(service), _REVISIONS[service]))
    except ServiceError as error:
        print(f"{service}: {error}", file=sys.stderr)
        return 2
    return 0


async def _migrate(url: str, revisions: Path) -> None:
    database = Database.open(url)
    try:
        await migrate(database, revisions)
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
