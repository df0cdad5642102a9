"""Artifacts behind an fsspec filesystem, such as S3, where each object appears whole or not at all."""

from __future__ import annotations

import errno
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from services.chassis.artifacts.artifact import KINDS
from services.chassis.artifacts.local_folder import LocalFolder
from services.chassis.artifacts.tree import MANIFEST, Stored
from services.chassis.errors import FailedPrecondition, InvalidArgument, Unavailable


class RemoteFolder:
    """A prefix in an object store. A folder's manifest is written last, and without it the folder is not there."""

    def __init__(self, url: str, scratch: Path | None = None) -> None:
        """Open it; `scratch` is a local folder in which to prepare, where what a killed writer leaves is found."""
        self._scratch = scratch
        # Only services with a remote store pay for this import.
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InvalidArgument(
                f"The artifact store {self.url} cannot be opened: {error}",
                "Install the fsspec driver for it, or use a file:// URL.",
            ) from error

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend an empty local folder; it is removed at the end."""
        if self._scratch is not None:
            with LocalFolder(self._scratch).staging() as folder:
                yield folder
            return
        with tempfile.TemporaryDirectory(prefix="drillyard-") as place:
            yield Path(place)

    def keep(self, staged: Path, path: str) -> None:
        """Upload a staged file, or a staged folder with its manifest last; after a failure nothing is visible.

        Raises:
            FailedPrecondition: The store's bucket is not there.
        """
        try:
            with self._reached():
                self._upload(staged, path)
        except FileNotFoundError as error:
            raise FailedPrecondition(
                f"The artifact store {self.url} is not there.", "Make its bucket, or name another one."
            ) from error

    def _upload(self, staged: Path, path: str) -> None:
        if staged.is_file():
            self._fs.put_file(str(staged), self._at(path))
            return
        files = sorted(place for place in staged.rglob("*") if place.is_file())
        for place in sorted(files, key=lambda each: each == staged / MANIFEST):
            self._fs.put_file(str(place), self._at(f"{path}/{place.relative_to(staged).as_posix()}"))

    def open(self, path: str) -> BinaryIO:
        """Open an object for reading."""
        with self._reached():
            return cast(BinaryIO, self._fs.open(self._at(path), "rb"))

    def size(self, path: str) -> int:
        """Return the bytes of an object."""
        with self._reached():
            return int(self._fs.size(self._at(path)))

    def fetch(self, path: str, target: Path) -> None:
        """Download an object."""
        with self._reached():
            self._fs.get_file(self._at(path), str(target))

    def remove(self, path: str) -> None:
        """Remove an artifact, a folder's manifest first; nothing happens when there is none."""
        with self._reached():
            if path.startswith("trees/"):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(self._at(f"{path}/{MANIFEST}"))
            with suppress(FileNotFoundError):
                self._fs.rm(self._at(path), recursive=True)

    def stored(self, before: float) -> list[Stored]:
        """Return the artifacts that were last written before a time, in seconds since 1970."""
        sizes: Counter[str] = Counter()
        times: dict[str, float] = {}
        for path, size, change_time in self._objects(""):
            kind, _, rest = path.partition("/")
            if kind in KINDS:
                key = "/".join((kind, *rest.split("/")[:2]))
                sizes[key] += size
                times[key] = max(change_time, times.get(key, 0.0))
        return [Stored(key, size) for key, size in sizes.items() if times[key] < before]

    def staged(self, before: float) -> list[Stored]:
        """Return nothing, since writers prepare on the local disk."""
        return []

    def change_time(self, path: str) -> float:
        """Return when an artifact was last written; infinity when it is gone, or the store does not say."""
        return max((change_time for _, _, change_time in self._objects(path)), default=math.inf)

    def _objects(self, below: str) -> list[tuple[str, int, float]]:
        """Return path below the root, bytes and time of change of each object."""
        with self._reached():
            # Other replicas write here too.
            self._fs.invalidate_cache()
            entries = self._fs.find(self._at(below) if below else self._root, detail=True)
        start = len(self._root.rstrip("/")) + 1
        return [(path[start:], int(entry["size"]), _time_of(entry)) for path, entry in entries.items()]

    def sweep(self, older_than_seconds: float) -> None:
        """Remove what was being prepared; unfinished uploads are invisible, and the store's own rule removes them."""
        if self._scratch is not None:
            LocalFolder(self._scratch).sweep(older_than_seconds)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Let what a driver raises for a store that is away, of whatever class of its own, be an outage like others."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Unavailable(
                f"The artifact store {self.url} cannot be reached: {type(error).__name__}.",
                "Check that it runs and takes this service's credentials, then try again.",
            ) from error

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _time_of(entry: dict[str, Any]) -> float:
    # S3, the drivers of other stores, and the one in memory each have a name of their own for it.
    time = next((entry[name] for name in ("LastModified", "last_modified", "mtime", "created") if name in entry), None)
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else math.inf
