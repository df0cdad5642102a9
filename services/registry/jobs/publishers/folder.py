"""Publications into a new folder on the registry's machine."""

from __future__ import annotations

import asyncio
import errno
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from services.chassis.database.lease import check_lease
from services.chassis.errors import AlreadyExists, InvalidArgument, PermissionDenied, ResourceExhausted
from services.chassis.machine.files import remove_tree, sync
from services.chassis.wire.names import shown
from services.lm.folders import folder_digest
from services.registry.domain.publication import Destination, Package, Publication
from services.registry.jobs.exporters.copying import copy_files
from services.registry.ports import Progress

_FIELD = "destination.folder_path"
_MAX_PATH = 4096
_SLACK_BYTES = 16 * 1024**2
_SUFFIX = "partial"


class FolderPublisher:
    """Copies a version's files into a folder that appears whole.

    Args:
        roots: Folders below which it may lie; empty for anywhere.
    """

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self._roots = roots

    def check(self, destination: Destination) -> None:
        """Raise InvalidArgument unless the text is an absolute path below the allowed folders."""
        self._place(destination)
        if destination.replace:
            raise InvalidArgument(
                "A folder is never replaced.", "Name a new folder, or remove the old one.", field="destination.replace"
            )

    async def publish(self, package: Package, progress: Progress) -> str:
        """Copy the files and return the folder; where equal files are there already, nothing happens.

        Raises:
            AlreadyExists: Something else is there.
            ResourceExhausted: The disk has no room.
            PermissionDenied: The registry may not read or write there.
        """
        place = self._place(package.destination)
        partial = place.with_name(f"{_prefix(place, package.publication_id)}{uuid.uuid4().hex}.{_SUFFIX}")
        try:
            await asyncio.to_thread(_remove_partial, place, package.publication_id)
            if place.exists() or place.is_symlink():
                await asyncio.to_thread(_check_same, package, place)
                return str(place)
            _check_space(place, package.size_bytes)
            await copy_files(package.folder, partial, progress)
            await asyncio.to_thread(_appear, partial, place)
        except PermissionError as error:
            raise PermissionDenied(
                f"The registry may not read and write {shown(str(place.parent))}.",
                "Let its user do both there, or name another folder.",
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            # It was made meanwhile.
            await asyncio.to_thread(_check_same, package, place)
        finally:
            # It would stand in place of what is told.
            with suppress(PermissionError):
                await asyncio.to_thread(remove_tree, partial)
        return str(place)

    async def clean_up(self, publication: Publication) -> None:
        """Remove what a killed process has copied, where the registry still may."""
        place = self._place(publication.spec.destination)
        with suppress(PermissionError):
            await asyncio.to_thread(_remove_partial, place, publication.job.job_id)

    def _place(self, destination: Destination) -> Path:
        text = destination.value
        path = Path(text)
        if len(text) > _MAX_PATH or "\0" in text or not path.is_absolute() or not path.name or ".." in path.parts:
            raise InvalidArgument(
                f"{_FIELD} {shown(text)} is not an absolute path.",
                "Give the path from the root, as in /…",
                field=_FIELD,
            )
        parent = path.parent.resolve()
        if not parent.is_dir():
            raise InvalidArgument(
                f"There is no folder {shown(str(path.parent))} on the registry's machine.",
                "Make it, or name a new folder in one that is there.",
                field=_FIELD,
            )
        check_below(parent, self._roots, _FIELD)
        return parent / path.name


def check_below(folder: Path, roots: tuple[Path, ...], field: str) -> None:
    """Raise InvalidArgument unless `folder` lies below one of `roots`, of which there may be none."""
    if roots and not any(folder.resolve().is_relative_to(root.resolve()) for root in roots):
        raise InvalidArgument(
            f"{shown(str(folder))} is outside the folders to which versions may be published.",
            f"Name one below {' or '.join(map(str, roots))}, or extend REGISTRY_PUBLISH_ROOTS.",
            field=field,
        )


def _prefix(place: Path, publication_id: str) -> str:
    return f".{place.name[:100]}.{publication_id}."


def _remove_partial(place: Path, publication_id: str) -> None:
    """Remove what former holders of the job have copied; one that was frozen may still be at it."""
    check_lease()
    for path in list(place.parent.iterdir()):
        if path.name.startswith(_prefix(place, publication_id)) and path.name.endswith(_SUFFIX):
            remove_tree(path)


def _check_same(package: Package, place: Path) -> None:
    is_folder = place.is_dir() and not place.is_symlink()
    if not is_folder or folder_digest(place) != folder_digest(package.folder):
        raise AlreadyExists(f"{shown(str(place))} exists already.", "Name a new folder, or remove it.")


def _check_space(place: Path, size_bytes: int) -> None:
    needed, free = size_bytes + _SLACK_BYTES, shutil.disk_usage(place.parent).free
    if free < needed:
        raise ResourceExhausted(
            f"The version needs {needed} bytes in {place.parent}, where {free} bytes are free.",
            "Free space there, or name a folder on another disk.",
        )


def _appear(partial: Path, place: Path) -> None:
    for path in partial.rglob("*"):
        sync(path)
    sync(partial)
    # A folder that another made meanwhile is empty or stays: a rename never replaces one with content.
    check_lease()
    partial.rename(place)
    sync(place.parent)
