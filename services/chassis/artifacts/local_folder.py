"""Artifacts on a local disk: nothing is visible before it is complete and on the disk."""

from __future__ import annotations

import errno
import math
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from services.chassis.artifacts.artifact import KINDS
from services.chassis.artifacts.tree import Stored
from services.chassis.machine.files import link_or_copy, size_below, sync

_STAGING = "staging"


class LocalFolder:
    """A root folder. Writers prepare in `staging/` and rename; readers see whole artifacts only."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def at(cls, url: str) -> LocalFolder:
        """Return the folder of a `file://` URL."""
        return cls(Path(unquote(urlsplit(url).path)))

    @property
    def url(self) -> str:
        """The root as a URL, as artifact URIs begin."""
        return self.root.as_uri()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend an empty folder on the same disk; what is still in it at the end is removed."""
        place = self.root / _STAGING / uuid.uuid4().hex
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def keep(self, staged: Path, path: str) -> None:
        """Make a staged file or folder durable and then visible at `path`.

        What is there already has the same bytes, or damaged ones, and is replaced file by file: its readers never see
        less than a whole file.
        """
        target = self.root / path
        _sync_below(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _replace_below(staged, target)
        sync(target.parent)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return (self.root / path).open("rb")

    def size(self, path: str) -> int:
        """Return the bytes of a file."""
        return (self.root / path).stat().st_size

    def fetch(self, path: str, target: Path) -> None:
        """Put a file of this folder at `target`: a hard link where the disk allows it, else a copy."""
        link_or_copy(self.root / path, target)

    def remove(self, path: str) -> None:
        """Remove an artifact; it vanishes at once and whole."""
        place = self.root / path
        with self.staging() as staging:
            try:
                place.rename(staging / "removed")
            except FileNotFoundError:
                return

    def sweep(self, older_than_seconds: float) -> None:
        """Remove what writers that were killed left in the staging folder."""
        for item in self.staged(time.time() - older_than_seconds):
            shutil.rmtree(self.root / item.path, ignore_errors=True)

    def staged(self, before: float) -> list[Stored]:
        """Return what writers that were killed left before a time."""
        return self._unchanged((self.root / _STAGING).glob("*"), before)

    def stored(self, before: float) -> list[Stored]:
        """Return the artifacts that were last written before a time, in seconds since 1970."""
        return self._unchanged((place for kind in KINDS for place in (self.root / kind).glob("*/*")), before)

    def change_time(self, path: str) -> float:
        """Return when an artifact was last written, linked or renamed; infinity when it is gone."""
        try:
            # A hard link keeps the time at which its bytes were written, but not this one.
            return (self.root / path).stat().st_ctime
        except FileNotFoundError:
            return math.inf

    def _unchanged(self, places: Iterable[Path], before: float) -> list[Stored]:
        paths = [place.relative_to(self.root).as_posix() for place in places]
        return [Stored(path, size_below(self.root / path)) for path in paths if self.change_time(path) < before]


def _sync_below(place: Path) -> None:
    if place.is_dir():
        for child in place.iterdir():
            _sync_below(child)
    else:
        place.chmod(0o444)
    sync(place)


def _replace_below(staged: Path, target: Path) -> None:
    for child in staged.iterdir():
        if child.is_dir():
            (target / child.name).mkdir(exist_ok=True)
            _replace_below(child, target / child.name)
        else:
            child.replace(target / child.name)
    sync(target)
