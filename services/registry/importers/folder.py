"""Imports of folders in Hugging Face form: checked in a limited process, then copied file by file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.chassis.wire.names import shown
from services.lm.conversion.card import forbids_derivatives
from services.registry.domain.model_import import InspectedSource
from services.registry.importers import source_files
from services.registry.importers.inspection import ask_folder, ask_tokenizer, plain
from services.registry.ports import Progress

_MAX_NAMES = 20

TokenizerCheck = Callable[[Path], Awaitable[tuple[str, ...]]]


class FolderImporter:
    """Takes config, tokenizer, chat template and safetensors of a folder, and nothing else."""

    def __init__(self, check_tokenizer: TokenizerCheck = ask_tokenizer) -> None:
        self._check_tokenizer = check_tokenizer

    async def inspect(self, path: Path) -> InspectedSource:
        """Check the folder and choose the files to take."""
        answer = await ask_folder("source", path)
        files = tuple(path / name for name in sorted(answer["files"]))
        notes = (*left_aside(answer["left"]), *licence_notes(answer["licence"]), *await self._check_tokenizer(path))
        return source_files.inspected(
            path, files, sum(answer["files"].values()), notes, licence=plain(answer["licence"])
        )

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return URI, size and the digest of names and contents of the files that are taken."""
        digest = source_files.folder_digest(await source_files.digests_of(source, progress))
        return Artifact(source.path.as_uri(), digest, source.size_bytes)

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Copy the files to the new folder `out`; progress is in bytes."""
        await source_files.copy(source, out, progress)


def left_aside(names: Sequence[str]) -> tuple[str, ...]:
    """Return what to say of files that are not taken."""
    if not names:
        return ()
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (f"Left aside and not opened: {', '.join(map(shown, names[:_MAX_NAMES]))}{more}.",)


def licence_notes(name: str) -> tuple[str, ...]:
    """Return what to say of the licence that a model's card names; nothing where it names none."""
    if not name:
        return ()
    if forbids_derivatives(name):
        return (f"Its licence {plain(name)} forbids derivatives: what is trained from it may not be given to others.",)
    return (f"Its licence: {plain(name)}.",)
