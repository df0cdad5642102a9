"""Files outside the registry: where they really are, whether they changed, and what they hash to."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.wire.names import shown
from services.registry.domain.model_import import InspectedSource
from services.registry.ports import Progress

_MAX_PATH = 4096
_BLOCK_BYTES = 2 * 1024**2


def locate(value: str, field: str, roots: tuple[Path, ...]) -> Path:
    """Return the real path that a caller's text names, with links followed.

    Args:
        value: What the caller gave.
        field: Name of the request's field.
        roots: Folders below which imports are allowed; empty for anywhere.

    Raises:
        InvalidArgument: The path is not absolute, not there, or outside `roots`.
    """
    if len(value) > _MAX_PATH or "\0" in value or not Path(value).is_absolute():
        raise InvalidArgument(
            f"{field} {shown(value)} is not an absolute path.", "Give the path from the root, as in /…", field=field
        )
    try:
        real = Path(value).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidArgument(
            f"{shown(value)} does not exist or cannot be reached on the registry's machine.",
            "Check the path; it is read where the registry runs.",
            field=field,
        ) from error
    if roots and not any(real.is_relative_to(root.resolve()) for root in roots):
        raise InvalidArgument(
            f"{shown(value)} is outside the folders from which imports are allowed.",
            f"Put the model below {' or '.join(map(str, roots))}, or extend REGISTRY_IMPORT_ROOTS.",
            field=field,
        )
    return real


def check_readable(path: Path, field: str) -> None:
    """Raise InvalidArgument unless this process may read the file."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise InvalidArgument(
            f"{shown(str(path))} cannot be read by the registry.", "Let the registry's user read it.", field=field
        ) from error


def inspected(
    path: Path,
    files: tuple[Path, ...],
    written_bytes: int,
    notes: tuple[str, ...] = (),
    *,
    base: str = "",
    licence: str = "",
) -> InspectedSource:
    """Return the source with the stamps that its files have now."""
    return InspectedSource(path, files, written_bytes, tuple(map(_stamp, files)), notes, base, licence)


def check_unchanged(source: InspectedSource) -> None:
    """Raise FailedPrecondition when a file changed since it was inspected."""
    try:
        is_same = tuple(map(_stamp, source.files)) == source.stamps
    except OSError:
        is_same = False
    if not is_same:
        raise FailedPrecondition(
            f"{shown(str(source.path))} changed while it was imported.", "Wait until nothing writes to it, then import."
        )


async def pour(path: Path, consume: Callable[[bytes], object]) -> None:
    """Give the file's bytes to `consume`, block by block, off the event loop."""
    with path.open("rb") as stream:
        while block := await asyncio.to_thread(stream.read, _BLOCK_BYTES):
            await asyncio.to_thread(consume, block)


async def copy(source: InspectedSource, out: Path, progress: Progress) -> None:
    """Copy the source's files to the new folder `out`; progress is in bytes.

    Raises:
        FailedPrecondition: One changed since it was inspected.
    """
    check_unchanged(source)
    await asyncio.to_thread(out.mkdir)
    done = 0
    for file, (_, _, size, _) in zip(source.files, source.stamps, strict=True):
        await progress(done, source.size_bytes)
        place = out / source.name_of(file)
        await asyncio.to_thread(place.parent.mkdir, exist_ok=True)
        with place.open("wb") as target:
            await pour(file, target.write)
        done += size
    check_unchanged(source)
    await progress(done, source.size_bytes)


async def digests_of(source: InspectedSource, progress: Progress) -> dict[str, str]:
    """Return the SHA-256 of each file by where it lies in the source; progress is in bytes."""
    digests, done = {}, 0
    for file, (_, _, size, _) in zip(source.files, source.stamps, strict=True):
        hasher = hashlib.sha256()
        await progress(done, source.size_bytes)
        await pour(file, hasher.update)
        done += size
        digests[source.name_of(file)] = hasher.hexdigest()
    await progress(done, source.size_bytes)
    return digests


def folder_digest(digests: dict[str, str]) -> str:
    """Return one digest for several files, by their names and digests."""
    text = json.dumps(digests, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _stamp(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
