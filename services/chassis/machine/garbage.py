"""Where a service keeps its things, and what of them may go: each part says what, and one collector does it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

import grpc.aio
import structlog
from drillyard.storage.v1 import storage_service_pb2 as pb
from drillyard.storage.v1 import storage_service_pb2_grpc as rpc
from pydantic_settings import BaseSettings

from services.chassis.errors import ServiceError
from services.chassis.machine.files import size_below
from services.chassis.machine.secrets import names_of_secrets
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings

_SERVICE_NAME = "drillyard.storage.v1.StorageService"
MAX_ITEMS = 10_000
_FIRST_SECONDS = 600.0
_PLACES = ("data_dir", "database_url", "artifacts_url", "gc_hours", "event_days", "cache_days")
# As far back as a date can lie, and a little less.
_MOST_DAYS = 700_000.0
_log = structlog.get_logger()


@dataclass(frozen=True)
class Garbage:
    """Something that nobody needs any more.

    Attributes:
        kind: What it is, such as "checkpoint".
        name: Which of its kind: a job, an artifact, a file.
        size_bytes: The room that it takes.
        reason: One clause that says why it may go.
        remove: Removes it; repeating it, also after half of it, does no harm.
    """

    kind: str
    name: str
    size_bytes: int
    reason: str
    remove: Callable[[], Awaitable[None]]


def days_ago(days: float) -> datetime:
    """Return the time so many days ago; what lies before all dates is the year 110."""
    return datetime.now(UTC) - timedelta(days=min(days, _MOST_DAYS))


Source: TypeAlias = Callable[[], AsyncIterator[Garbage]]


@dataclass(frozen=True)
class Place:
    """Where a service keeps its things.

    Attributes:
        folder: Its own.
        settings: Of the service; those in `shown` are told.
    """

    service: str
    folder: Path
    database_url: str
    artifacts_url: str
    settings: BaseSettings
    shown: Sequence[str]
    secrets: Sequence[str] = ()

    @classmethod
    def of_service(cls, service: str, settings: ServiceSettings) -> Self:
        """Return that of a gRPC service."""
        return cls(
            service,
            settings.service_dir(service),
            settings.resolved_database_url(service),
            settings.resolved_artifacts_url(service),
            settings,
            (*_PLACES, *settings.shown),
            names_of_secrets(settings.env_prefix, settings.secrets_dir),
        )

    def describe(self) -> pb.ServiceStorage:
        """Return how much room everything takes, without user and password of any address; it walks the folder."""
        sizes: Counter[str] = Counter()
        for entry in os.scandir(self.folder) if self.folder.is_dir() else ():
            kind = "database" if ".db" in entry.name else entry.name
            sizes[kind] += size_below(Path(entry.path))
        return pb.ServiceStorage(
            service=self.service,
            database=_place_of(self.database_url),
            artifacts=_place_of(self.artifacts_url),
            kinds=[pb.StoredKind(kind=kind, size_bytes=size) for kind, size in sizes.most_common()],
            free_bytes=shutil.disk_usage(self.folder if self.folder.is_dir() else self.folder.anchor).free,
            settings=map(self._setting, self.shown),
            secrets=self.secrets,
        )

    def _setting(self, name: str) -> pb.OperatorSetting:
        value = getattr(self.settings, name)
        # An address may have a password.
        is_told = not name.endswith("_url")
        text = json.dumps(value) if isinstance(value, tuple | dict) else str(value)
        return pb.OperatorSetting(
            variable=f"{self.settings.model_config.get('env_prefix', '')}{name.upper()}",
            value=text if value and is_told else "",
            help=type(self.settings).model_fields[name].description or "",
            is_set=name in self.settings.model_fields_set,
        )


def _place_of(url: str) -> str:
    """Return an address without user, password and options; where these cannot be told apart, the scheme alone.

    Of SQLite the path of its file.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.startswith("sqlite"):
        return unquote(rest.removeprefix("/").partition("?")[0])
    credentials, at, place = rest.rpartition("@")
    if at and set("@?#") & set(credentials):
        return f"{scheme}{separator}…"
    return scheme + separator + re.split("[?#]", place)[0]


class GarbageCollector(rpc.StorageServiceServicer):
    """Removes what its sources yield: when it is asked to, and by itself every `hours` (0: never)."""

    def __init__(self, service: str, hours: float, place: Place | None = None) -> None:
        self.hours = hours
        self._place = place
        self._service = service
        self._sources: list[Source] = []
        self._turn = asyncio.Lock()

    def add(self, *sources: Source) -> None:
        """Let these say what may go; what a source yields is still garbage when it is removed at once."""
        self._sources += sources

    def serve_at(self, server: Server) -> None:
        """Answer calls that ask to collect."""
        server.add_servicer(rpc.add_StorageServiceServicer_to_server, self, _SERVICE_NAME)

    async def collect(self, *, dry_run: bool) -> list[pb.Garbage]:
        """Remove what may go, or only say what it is; at most `MAX_ITEMS` at a time.

        Raises:
            ServiceError: Where something is kept cannot be reached.
        """
        removed: list[pb.Garbage] = []
        async with self._turn:
            for source in self._sources:
                async for item in source():
                    if dry_run or await self._is_removed(item):
                        removed.append(
                            pb.Garbage(
                                service=self._service,
                                kind=item.kind,
                                name=item.name,
                                size_bytes=item.size_bytes,
                                reason=item.reason,
                            )
                        )
                    if len(removed) >= MAX_ITEMS:
                        return removed
        return removed

    async def keep_collecting(self) -> None:
        """Collect soon after the start, and then every `hours`, until it is cancelled."""
        await asyncio.sleep(min(_FIRST_SECONDS, self.hours * 3600))
        while True:
            removed = await self.collect(dry_run=False)
            _log.info("garbage_collected", num_items=len(removed), size_bytes=sum(item.size_bytes for item in removed))
            await asyncio.sleep(self.hours * 3600)

    async def CollectGarbage(
        self, request: pb.CollectGarbageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CollectGarbageResponse:
        """Remove what may go, or say what would."""
        return pb.CollectGarbageResponse(garbage=await self.collect(dry_run=request.dry_run))

    async def GetStorage(
        self, request: pb.GetStorageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetStorageResponse:
        """Say where the service keeps its things."""
        return pb.GetStorageResponse(services=await self.places())

    async def places(self) -> list[pb.ServiceStorage]:
        """Return where the service keeps its things."""
        return [await asyncio.to_thread(self._place.describe)] if self._place else []

    async def _is_removed(self, item: Garbage) -> bool:
        try:
            await item.remove()
        except (ServiceError, OSError) as error:
            _log.warning("garbage_not_removed", kind=item.kind, name=item.name, reason=str(error))
            return False
        return True
