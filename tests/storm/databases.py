"""The databases of a storm: where each service's is, how it is taken away for a while, and how the oracle reads it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, text

from tests.contract.postgres import PostgresServer, postgres_server

Row = dict[str, Any]


class Databases(Protocol):
    """One database a service."""

    is_shared: bool

    def settings(self, service: str) -> dict[str, object]:
        """Return the service's settings that name its database."""
        ...

    async def take_away(self, service: str, seconds: float) -> None:
        """Keep the database from its writers for a while, or end it."""
        ...

    def read(self, service: str, query: str) -> list[Row]:
        """Return the rows of a query; JSON columns are parsed."""
        ...


class SqliteDatabases:
    """A file for each service in the data folder; a foreign lock takes it away."""

    is_shared = False

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def settings(self, service: str) -> dict[str, object]:
        return {}

    async def take_away(self, service: str, seconds: float) -> None:
        connection = sqlite3.connect(self._file(service), isolation_level=None, timeout=0.0, check_same_thread=False)
        try:
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def read(self, service: str, query: str) -> list[Row]:
        return _rows(f"sqlite:///{self._file(service)}", query)

    def _file(self, service: str) -> Path:
        return self._data_dir / service / "state.db"


class PostgresDatabases:
    """A database for each service on one server; the server is ended as by a crash, and started again."""

    is_shared = True

    def __init__(self, server: PostgresServer, services: tuple[str, ...]) -> None:
        self._server = server
        self._url: str = server.url.rpartition("/")[0]
        engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for service in services:
                connection.execute(text(f"CREATE DATABASE {service}"))
        engine.dispose()

    def settings(self, service: str) -> dict[str, object]:
        return {"database_url": f"{self._url}/{service}"}

    async def take_away(self, service: str, seconds: float) -> None:
        await asyncio.to_thread(self._server.crash)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._server.start)

    def read(self, service: str, query: str) -> list[Row]:
        return _rows(f"{self._url}/{service}", query)


@contextmanager
def databases(kind: str, data_dir: Path, services: tuple[str, ...]) -> Iterator[Databases]:
    """Lend the databases of a storm, "sqlite" or "postgresql", for the length of a block."""
    with postgres_server() if kind == "postgresql" else nullcontext() as server:
        yield PostgresDatabases(server, services) if server is not None else SqliteDatabases(data_dir)


def _rows(url: str, query: str) -> list[Row]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [
                {name: _parsed(value) for name, value in row.items()}
                for row in connection.execute(text(query)).mappings()
            ]
    finally:
        engine.dispose()


def _parsed(value: Any) -> Any:
    is_json = isinstance(value, str) and value[:1] in ("{", "[")
    return json.loads(value) if is_json else value
