"""Imports of folders in Hugging Face form: checked in a limited process, then copied file by file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.registry.domain.identifiers import shown
from services.registry.domain.model_import import InspectedSource
from services.registry.importers import source_files
from services.registry.importers.inspection import ask_folder, ask_tokenizer
from services.registry.ports import Progress

_FIELD = "source.folder_path"
_MAX_NAMES = 20

TokenizerCheck = Callable[[Path], Awaitable[tuple[str, ...]]]


class FolderImporter:
    """Takes config, tokenizer, chat template and safetensors of a folder, and nothing else."""

    def __init__(self, roots: tuple[Path, ...] = (), check_tokenizer: TokenizerCheck = ask_tokenizer) -> None:
        self._roots = roots
        self._check_tokenizer = check_tokenizer

    def locate(self, value: str) -> Path:
        """Return the real path of a folder that can be listed."""
        path = source_files.locate(value, _FIELD, self._roots)
        if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
            raise InvalidArgument(
                f"{shown(value)} is not a folder that the registry can read.",
                "Name a folder that holds config.json and safetensors.",
                field=_FIELD,
            )
        return path

    async def inspect(self, path: Path) -> InspectedSource:
        """Check the folder and choose the files to take."""
        answer = await ask_folder("source", path)
        files = tuple(path / name for name in sorted(answer["files"]))
        notes = (*_left_aside(answer["left"]), *await self._check_tokenizer(path))
        return source_files.inspected(path, files, sum(answer["files"].values()), notes)

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return URI, size and the digest of names and contents of the files that are taken."""
        digest = source_files.folder_digest(await source_files.digests_of(source, progress))
        return Artifact(source.path.as_uri(), digest, source.size_bytes)

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Copy the files to the new folder `out`; progress is in bytes."""
        source_files.check_unchanged(source)
        await asyncio.to_thread(out.mkdir)
        done = 0
        for file, (_, _, size, _) in zip(source.files, source.stamps, strict=True):
            await progress(done, source.size_bytes)
            place = out / source.name_of(file)
            await asyncio.to_thread(place.parent.mkdir, exist_ok=True)
            with place.open("wb") as target:
                await source_files.pour(file, target.write)
            done += size
        source_files.check_unchanged(source)
        await progress(done, source.size_bytes)


def _left_aside(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (f"Left aside and not opened: {', '.join(map(shown, names[:_MAX_NAMES]))}{more}.",)
