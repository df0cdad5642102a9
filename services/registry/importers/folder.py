"""Imports of folders in Hugging Face form: checked in a limited process, then copied file by file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.chassis.errors import InvalidArgument
from services.registry.domain.identifiers import shown
from services.registry.domain.model_import import InspectedSource
from services.registry.importers import source_files
from services.registry.importers.inspection import ask_folder
from services.registry.ports import Progress

_FIELD = "source.folder_path"


class FolderImporter:
    """Takes config, tokenizer, chat template and safetensors of a folder, and nothing else."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self._roots = roots

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
        return source_files.inspected(path, files, sum(answer["files"].values()))

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
            with (out / file.name).open("wb") as target:
                await source_files.pour(file, target.write)
            done += size
        source_files.check_unchanged(source)
        await progress(done, source.size_bytes)
