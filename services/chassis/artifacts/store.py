"""A service's artifacts: content-addressed, immutable, under the service's own prefix."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from urllib.parse import urlsplit

from services.chassis.artifacts import tree
from services.chassis.artifacts.artifact import Artifact, Key, file_digest, hex_of, parse_uri
from services.chassis.artifacts.local_folder import LocalFolder
from services.chassis.artifacts.manifest import describe
from services.chassis.artifacts.moved import moved_to
from services.chassis.artifacts.remote_folder import RemoteFolder
from services.chassis.artifacts.tree import FILES, Folder
from services.chassis.artifacts.verified import Described, Verified
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.chassis.status import no_space

P = ParamSpec("P")
T = TypeVar("T")

ABANDONED_SECONDS = 24 * 3600.0


class ArtifactStore:
    """Writes below its own root, and reads there and below the roots of other services that it was told to trust.

    Args:
        root_url: `file:///folder` or any fsspec URL such as `s3://bucket/registry`; only this service writes there.
        prefix: Added to the root, when several services share one URL.
        sources: URL prefixes whose artifacts may be read and adopted.
        cache_dir: Where remote artifacts are kept for `local_path`, and prepared; a temporary folder by default.

    Attributes:
        draft: Lends an empty folder to write in what is to be kept; a killed writer's goes with all that it staged.

    Every method raises NotFound for an artifact that is not there, InvalidArgument for what no store gave out,
    PermissionDenied for a place that is not trusted, and ResourceExhausted, leaving nothing behind, when the disk is
    full.
    """

    def __init__(
        self, root_url: str, prefix: str = "", *, sources: tuple[str, ...] = (), cache_dir: Path | None = None
    ) -> None:
        self._own = open_folder(f"{root_url.rstrip('/')}/{prefix}" if prefix else root_url, cache_dir)
        self._sources = tuple(source.rstrip("/") + "/" for source in (self._own.url, *sources))
        self._cache_dir = cache_dir
        self.draft = self._own.staging
        self._verified, self._described = Verified(), Described()

    async def put_bytes(self, data: bytes, media_type: str = "") -> Artifact:
        """Keep bytes and return where they are; equal bytes are kept once."""
        return await self._in_thread(self._put_bytes, data, media_type)

    async def put_file(self, path: Path, media_type: str = "") -> Artifact:
        """Keep a copy of a file.

        Raises:
            InvalidArgument: It is a link, a folder or a device.
        """
        return await self._in_thread(self._put_file, path, media_type)

    async def put_tree(self, folder: Path, *, linked: bool = False) -> Artifact:
        """Keep a copy of a folder; its digest is over the paths, digests and sizes of its files.

        Args:
            folder: The folder.
            linked: Nobody changes its files any more, so a hard link is as good as a copy, where the disk allows it.

        Raises:
            InvalidArgument: There is a symbolic link or another thing that is no plain file in it.
        """
        return await self._in_thread(self._put_tree, folder, linked)

    async def describe(self, content: bytes | Path) -> Artifact:
        """Return what bytes, a file or a folder are once they are put, and keep nothing.

        Raises:
            InvalidArgument: As in `put_tree`.
        """
        return await self._in_thread(self._describe, content)

    def own_uri(self, uri: str) -> str:
        """Return where this store keeps the artifact that is at `uri`, once it has adopted it."""
        return f"{self._own.url}/{parse_uri(uri)[1].path}"

    async def adopt(self, uri: str, digest: str, size_bytes: int) -> Artifact:
        """Keep another service's artifact as one's own, once all its bytes are verified.

        Raises:
            FailedPrecondition: What is at `uri` does not have that digest or size.
        """
        return await self._in_thread(self._adopt, uri, digest, size_bytes)

    async def read_bytes(self, uri: str, member: str = "") -> bytes:
        """Return the bytes of an artifact, or of one file in a folder."""
        return await self._in_thread(self._read, uri, member)

    async def open_reader(self, uri: str, member: str = "") -> BinaryIO:
        """Open an artifact, or one file in a folder; the caller reads it in a thread and closes it."""
        return await self._in_thread(self._open_reader, uri, member)

    async def local_path(self, uri: str) -> Path:
        """Return a local file or folder with the artifact's bytes, to read only.

        They are verified when this process uses them for the first time, and when a file was touched since.

        Raises:
            FailedPrecondition: They are damaged.
        """
        return await self._in_thread(self._local_path, uri)

    async def verify(self, uri: str, digest: str) -> None:
        """Return when every byte is there and the digest is `digest`.

        Raises:
            FailedPrecondition: Something changed.
        """
        await self._in_thread(self._verify, uri, digest)

    async def delete(self, uri: str) -> None:
        """Remove an artifact of one's own; nothing happens when it is not there.

        Raises:
            PermissionDenied: It belongs to another service.
        """
        await self._in_thread(self._delete, uri)

    async def sweep(self, *, is_only_writer: bool = False) -> None:
        """Remove what killed writers left behind: all of it for the only writer, else what is a day old."""
        await self._in_thread(self._own.sweep, 0.0 if is_only_writer else ABANDONED_SECONDS)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A thread cannot be cancelled; who cleans up behind it must come after it.
            await asyncio.wait((work,))
            raise
        except FileNotFoundError as error:
            raise NotFound(
                f"There is no artifact at {error.filename or args[0]}.",
                "It may have been deleted; import or upload it again.",
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space(self._own.url) from error
            raise

    def _put_bytes(self, data: bytes, media_type: str) -> Artifact:
        with self._own.staging() as staging:
            staged = staging / "blob"
            staged.write_bytes(data)
            return self._keep_blob(staged, media_type)

    def _put_file(self, path: Path, media_type: str) -> Artifact:
        if path.is_symlink() or not path.is_file():
            raise InvalidArgument(f"{path} is not a plain file.", "Give the path of a file.")
        with self._own.staging() as staging:
            staged = staging / "blob"
            shutil.copyfile(path, staged)
            return self._keep_blob(staged, media_type)

    def _keep_blob(self, staged: Path, media_type: str) -> Artifact:
        key, size = Key("blobs", hex_of(file_digest(staged))), staged.stat().st_size
        self._own.keep(staged, key.path)
        return self._artifact(key, size, media_type)

    def _put_tree(self, folder: Path, linked: bool) -> Artifact:
        _check_folder(folder)
        with self._own.staging() as staging:
            staged = staging / "tree"
            staged.mkdir()
            manifest = tree.stage_tree(folder, staged, linked=linked, digest_of=self._described.take)
            key = Key("trees", hex_of(manifest.digest))
            self._own.keep(staged, key.path)
        return self._artifact(key, manifest.size_bytes)

    def _describe(self, content: bytes | Path) -> Artifact:
        if isinstance(content, bytes):
            return self._artifact(Key("blobs", hashlib.sha256(content).hexdigest()), len(content))
        if content.is_file():
            return self._artifact(Key("blobs", hex_of(file_digest(content))), content.stat().st_size)
        _check_folder(content)
        manifest = describe(content, self._described.read)
        return self._artifact(Key("trees", hex_of(manifest.digest)), manifest.size_bytes)

    def _adopt(self, uri: str, digest: str, size_bytes: int) -> Artifact:
        source, key = self._resolve(uri)
        if key.digest != f"sha256:{hex_of(digest)}":
            raise FailedPrecondition(f"The artifact at {uri} has digest {key.digest}, not {digest}.", _AGAIN)
        size = tree.size_of(source, key)
        if size != size_bytes:
            raise FailedPrecondition(f"The artifact at {uri} has {size} bytes, not {size_bytes}.", _AGAIN)
        if not self._is_sound(key):
            tree.take(source, key, self._own)
        if isinstance(self._own, LocalFolder):
            self._verified.remember(self._own, key)
        return self._artifact(key, size_bytes)

    def _is_sound(self, key: Key) -> bool:
        try:
            tree.verify(self._own, key)
        except (FailedPrecondition, FileNotFoundError):
            return False
        return True

    def _read(self, uri: str, member: str) -> bytes:
        with self._open_reader(uri, member) as stream:
            return stream.read()

    def _open_reader(self, uri: str, member: str) -> BinaryIO:
        source, key = self._resolve(uri)
        if not key.is_tree:
            return source.open(key.path)
        if member not in {entry.path for entry in tree.read_manifest(source, key).entries}:
            raise NotFound(f"The artifact holds no file {member[:100]!r}.", "Look at its manifest.")
        return source.open(f"{key.path}/{FILES}/{member}")

    def _local_path(self, uri: str) -> Path:
        source, key = self._resolve(uri)
        if isinstance(source, LocalFolder):
            self._verified.verify(source, key)
        else:
            remote, source = source, self._cache()
            try:
                self._verified.verify(source, key)
            except (FailedPrecondition, FileNotFoundError):
                tree.take(remote, key, source)
            # What is not used for long is removed; a blob's stamp has just been changed by this.
            os.utime(source.root / key.path)
            self._verified.remember(source, key)
        return source.root / key.path / FILES if key.is_tree else source.root / key.path

    def _verify(self, uri: str, digest: str) -> None:
        source, key = self._resolve(uri)
        if key.digest != f"sha256:{hex_of(digest)}":
            raise FailedPrecondition(f"The artifact at {uri} has digest {key.digest}, not {digest}.", _AGAIN)
        tree.verify(source, key)

    def _delete(self, uri: str) -> None:
        root, key = parse_uri(uri)
        if root != self._own.url and self._moved(root, key) is not self._own:
            raise PermissionDenied(f"The artifact {uri} belongs to another service.", "Ask its owner to delete it.")
        self._own.remove(key.path)

    def _resolve(self, uri: str) -> tuple[Folder, Key]:
        root, key = parse_uri(uri)
        if root == self._own.url:
            return self._own, key
        if any(f"{root}/".startswith(source) for source in self._sources):
            return open_folder(root), key
        if moved := self._moved(root, key):
            return moved, key
        raise PermissionDenied(
            f"Artifacts at {root} are not trusted.", "Add its prefix to the service's ARTIFACT_SOURCES variable."
        )

    def _moved(self, root: str, key: Key) -> LocalFolder | None:
        return moved_to(root, key, self._own, self._sources) if isinstance(self._own, LocalFolder) else None

    def _cache(self) -> LocalFolder:
        if self._cache_dir is None:
            self._cache_dir = Path(tempfile.mkdtemp(prefix="drillyard-artifacts-"))
        return LocalFolder(self._cache_dir)

    def _artifact(self, key: Key, size_bytes: int, media_type: str = "") -> Artifact:
        return Artifact(f"{self._own.url}/{key.path}", key.digest, size_bytes, media_type)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "no folder", str(folder))
    if folder.is_symlink() or not folder.is_dir():
        raise InvalidArgument(f"{folder} is not a folder.", "Give the path of a folder.")


def open_folder(url: str, scratch: Path | None = None) -> LocalFolder | RemoteFolder:
    """Return the place for artifacts at a URL; for a remote one, `scratch` is where it prepares what it writes."""
    return LocalFolder.at(url) if urlsplit(url).scheme == "file" else RemoteFolder(url, scratch)


_AGAIN = "Read the artifact's URI, digest and size from its owner again."
