"""Answers of shadows beside those that clients got: a line of JSON each, in a file a day for each alias."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.chassis.machine.garbage import Garbage

_DAY_SECONDS = 86_400.0
# What more comes on one day is not kept.
_MAX_DAY_BYTES = 64 * 1024**2


class ShadowAnswers:
    """Keeps the pairs of answers in `folder` for `days`; 0 days keep none."""

    def __init__(self, folder: Path, days: float) -> None:
        self._folder, self._days = folder, days

    async def keep(self, alias_id: str, pair: dict[str, Any]) -> None:
        """Add a pair of answers, whole.

        Raises:
            OSError: The disk takes no more.
        """
        if self._days:
            await asyncio.to_thread(self._append, alias_id, (json.dumps(pair, ensure_ascii=False) + "\n").encode())

    async def newest(self, alias_id: str, count: int) -> list[dict[str, Any]]:
        """Return the newest pairs of an alias, newest first."""
        return await asyncio.to_thread(lambda: [*islice(self._pairs(alias_id), count)])

    async def garbage(self) -> AsyncIterator[Garbage]:
        """Yield the files that are too old."""
        before = time.time() - self._days * _DAY_SECONDS
        for file in await asyncio.to_thread(lambda: sorted(self._folder.glob("*/*.jsonl"))):
            status = await asyncio.to_thread(file.stat)
            if status.st_mtime < before:
                remove = partial(asyncio.to_thread, file.unlink, missing_ok=True)
                yield Garbage("shadow answers", f"{file.parent.name}/{file.name}", status.st_size, "old", remove)

    def _append(self, alias_id: str, line: bytes) -> None:
        place = self._place(alias_id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = place / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        file.touch(mode=0o600)
        if file.stat().st_size + len(line) <= _MAX_DAY_BYTES:
            with file.open("ab", buffering=0) as stream:
                stream.write(line)

    def _pairs(self, alias_id: str) -> Iterator[dict[str, Any]]:
        files = sorted(self._place(alias_id).glob("*.jsonl"), reverse=True)
        lines = chain.from_iterable(reversed(file.read_bytes().splitlines()) for file in files)
        for line in lines:
            # A full disk may have cut a line off; the next one then begins within it.
            with suppress(ValueError):
                yield json.loads(line)

    def _place(self, alias_id: str) -> Path:
        # The colon that every alias has keeps the name from being a step upwards.
        return self._folder / quote(alias_id, safe="")
