"""The folder in which imports are prepared."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from services.chassis.errors import ResourceExhausted
from services.chassis.machine.files import newest_change, remove_tree, size_below
from services.chassis.machine.garbage import Garbage
from services.registry.downloads.sharing import forget_shared

# Prepared here, then copied to where artifacts are kept.
_COPIES = 2
_SLACK_BYTES = 64 * 1024**2
# Begins the names of folders that outlive their process.
_FETCHED = "fetched-"
_SHARED = "shared"
# An import writes all the time that it has a folder.
_ABANDONED_SECONDS = 24 * 3600.0


class Workspace:
    """Lends each hold of an import a folder of its own, which is gone at its end.

    Args:
        root: The folder in which they are; other replicas may use it too.
        work: What is prepared there, such as "import", which is a verb as well.
    """

    def __init__(self, root: Path, work: str = "import") -> None:
        self._root = root
        self._work = work
        root.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove what a killed process left, but not what it fetched; only for the one process that uses the folder."""
        for place in self._root.iterdir():
            if not place.name.startswith(_FETCHED):
                shutil.rmtree(place, ignore_errors=True)

    async def garbage(self) -> AsyncIterator[Garbage]:
        """Yield the folders that killed replicas left: nothing has changed in them for a day."""
        before = time.time() - _ABANDONED_SECONDS
        for place in await asyncio.to_thread(lambda: sorted(self._root.iterdir())):
            if await asyncio.to_thread(newest_change, place) < before:
                size_bytes = await asyncio.to_thread(size_below, place)
                remove = partial(asyncio.to_thread, remove_tree, place)
                yield Garbage(self._work, place.name, size_bytes, "its process was killed", remove)

    def check_space(self, fetched_bytes: int, written_bytes: int) -> None:
        """Raise ResourceExhausted when the disk has no room to fetch, and to prepare and keep, so many bytes."""
        needed = fetched_bytes + _COPIES * written_bytes + _SLACK_BYTES
        free = shutil.disk_usage(self._root).free
        if free < needed:
            raise ResourceExhausted(
                f"The {self._work} needs {needed} bytes in {self._root}, where {free} bytes are free.",
                f"Free space there or point REGISTRY_DATA_DIR elsewhere, then {self._work} again.",
                folder=str(self._root),
                needed_bytes=str(needed),
                free_bytes=str(free),
            )

    def fetched(self, import_id: str) -> Path:
        """Return the folder in which what an import fetches is kept over restarts; it may not be there yet."""
        return self._root / f"{_FETCHED}{import_id}"

    @property
    def shared(self) -> Path:
        """The folder by which imports find what others of them fetch; it may not be there yet."""
        return self._root / f"{_FETCHED}{_SHARED}"

    def forget(self, import_id: str) -> None:
        """Remove what an import that has ended fetched."""
        remove_tree(self.fetched(import_id))
        forget_shared(self.shared)

    @contextmanager
    def folder(self, import_id: str) -> Iterator[Path]:
        """Lend an empty folder for as long as the block runs."""
        # A replica that has lost the import may still be writing it.
        place = Path(tempfile.mkdtemp(prefix=f"{import_id}-", dir=self._root))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
