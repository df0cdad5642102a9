"""Models and datasets that people send in parts; what has come is kept, so that an upload goes on after a break."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.artifacts.artifact import file_digest
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.chassis.machine.files import newest_change, remove_tree, size_below, write_atomically
from services.chassis.machine.garbage import Garbage
from services.chassis.status import full_disk_told

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[\w][\w. +=@,-]{0,200}(/[\w][\w. +=@,-]{0,200})?")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?")
_MAX_FILES = 500
_MAX_BYTES = 1 << 44
# Received, then copied to where artifacts are kept.
_COPIES = 2


@dataclass(frozen=True)
class UploadFile:
    """A file that is announced; its digest, "sha256:…", may be empty."""

    name: str
    size_bytes: int
    digest: str = ""


class ModelUploads:
    """Keeps parts in a folder, and whole uploads as artifacts, from which the registry imports them.

    Args:
        root: A folder of the gateway's own.
        store: Where whole uploads go.
    """

    def __init__(self, root: Path, store: ArtifactStore) -> None:
        self._root = root
        self._store = store
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def create(self, files: list[UploadFile]) -> str:
        """Begin an upload of these files and return its id.

        Raises:
            InvalidArgument: There is none, or one that no model's folder has.
            ResourceExhausted: The disk has no room for them.
        """
        _check(files)
        upload_id = secrets.token_hex(16)
        await asyncio.to_thread(self._create, upload_id, files)
        return upload_id

    async def received(self, upload_id: str) -> list[tuple[UploadFile, int]]:
        """Return the files with the bytes that have come of each.

        Raises:
            NotFound: There is no such upload.
        """
        return await asyncio.to_thread(self._received, upload_id)

    async def append(self, upload_id: str, name: str, offset: int, pieces: AsyncIterator[bytes]) -> int:
        """Add bytes behind the `offset` that have come, and return how many have come then; a break loses none.

        Raises:
            NotFound: There is no such upload or file.
            FailedPrecondition: Another number of bytes has come.
            InvalidArgument: They are more than was announced.
        """
        async with self._locks[upload_id]:
            for file, num_bytes in await self.received(upload_id):
                if file.name == name:
                    return await self._append(upload_id, file, num_bytes, offset, pieces)
        raise NotFound(f"The upload has no file {name!a}.", "Name one that it was begun with.")

    async def finish(self, upload_id: str, *, as_file: bool = False) -> Artifact:
        """Check what has come, keep it as one folder, or as its one file, and end the upload.

        Raises:
            NotFound: There is no such upload.
            FailedPrecondition: A file is not whole, or has another digest than was announced.
            InvalidArgument: It has several files, where one is wanted.
        """
        async with self._locks[upload_id]:
            received = await self.received(upload_id)
            for file, num_bytes in received:
                await asyncio.to_thread(self._check_whole, upload_id, file, num_bytes)
            if as_file and len(received) > 1:
                raise InvalidArgument(f"The upload has {len(received)} files.", "Upload the one that you mean.")
            place = self._files(upload_id)
            if as_file:
                artifact = await self._store.put_file(place / received[0][0].name)
            else:
                artifact = await self._store.put_tree(place, linked=True)
            await self.delete(upload_id)
            return artifact

    async def delete(self, upload_id: str) -> None:
        """Forget an upload that is not finished."""
        await asyncio.to_thread(remove_tree, self._folder(upload_id))
        self._locks.pop(upload_id, None)

    async def garbage(self, hours: float) -> AsyncIterator[Garbage]:
        """Yield uploads to which nothing has come for some hours."""
        before = time.time() - hours * 3600
        for place in await asyncio.to_thread(lambda: sorted(self._root.glob("*"))):
            if await asyncio.to_thread(newest_change, place) < before:
                size = await asyncio.to_thread(size_below, place)
                remove = partial(asyncio.to_thread, remove_tree, place)
                yield Garbage("upload", place.name, size, f"nothing came for {hours:g} hours", remove)

    def _create(self, upload_id: str, files: list[UploadFile]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        needed, free = _COPIES * sum(file.size_bytes for file in files), shutil.disk_usage(self._root).free
        if free < needed:
            raise ResourceExhausted(
                f"The upload needs {needed} bytes in {self._root}, where {free} bytes are free.",
                "Free space there or point GATEWAY_DATA_DIR elsewhere, then upload again.",
            )
        with full_disk_told():
            for file in files:
                place = self._files(upload_id) / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            write_atomically(self._folder(upload_id) / "upload.json", json.dumps([asdict(file) for file in files]))

    def _received(self, upload_id: str) -> list[tuple[UploadFile, int]]:
        place = self._folder(upload_id) / "upload.json"
        if not place.is_file():
            raise NotFound(f"There is no upload {upload_id[:40]!a}.", "Begin one: unfinished ones end after a day.")
        files = [UploadFile(**entry) for entry in json.loads(place.read_text(encoding="utf-8"))]
        return [(file, (self._files(upload_id) / file.name).stat().st_size) for file in files]

    async def _append(
        self, upload_id: str, file: UploadFile, num_bytes: int, offset: int, pieces: AsyncIterator[bytes]
    ) -> int:
        if offset != num_bytes:
            raise FailedPrecondition(
                f"{num_bytes} bytes of {file.name} have come, not {offset}.", f"Go on from byte {num_bytes}."
            )
        path = self._files(upload_id) / file.name
        async for piece in pieces:
            if num_bytes + len(piece) > file.size_bytes:
                raise InvalidArgument(
                    f"{file.name} was announced with {file.size_bytes} bytes, and more come.",
                    "Begin the upload again with the size that the file has.",
                )
            await asyncio.to_thread(_add, path, piece)
            num_bytes += len(piece)
        return num_bytes

    def _check_whole(self, upload_id: str, file: UploadFile, num_bytes: int) -> None:
        if num_bytes != file.size_bytes:
            raise FailedPrecondition(
                f"{num_bytes} of {file.size_bytes} bytes of {file.name} have come.", "Send the rest, then finish."
            )
        if file.digest and file_digest(self._files(upload_id) / file.name) != file.digest:
            raise FailedPrecondition(
                f"What came of {file.name} has another digest than was announced.", "Upload the file again."
            )

    def _folder(self, upload_id: str) -> Path:
        return self._root / (upload_id if _ID.fullmatch(upload_id) else "none")

    def _files(self, upload_id: str) -> Path:
        return self._folder(upload_id) / "files"


def _check(files: list[UploadFile]) -> None:
    if not 0 < len(files) <= _MAX_FILES or len({file.name for file in files}) != len(files):
        raise InvalidArgument(
            f"An upload has 1 to {_MAX_FILES} files, each with a name of its own.", "Upload one model's folder or file."
        )
    for file in files:
        is_sized = 0 <= file.size_bytes <= _MAX_BYTES
        if not _NAME.fullmatch(file.name) or ".." in file.name or not is_sized or not _DIGEST.fullmatch(file.digest):
            raise InvalidArgument(
                f"{file.name[:80]!a} is no file that an upload may have.",
                "Give names below the model's folder, at most one folder deep, with size and a sha256 digest or none.",
                field="files",
            )


def _add(path: Path, piece: bytes) -> None:
    with full_disk_told(), path.open("ab") as out:
        out.write(piece)
