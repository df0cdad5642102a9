"""Imports of adapters in PEFT's form: the folder is checked and copied, then checked against its base's shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services.chassis.artifacts import Artifact
from services.registry.domain.model_import import InspectedSource
from services.registry.importers import source_files
from services.registry.importers.folder import left_aside, licence_notes
from services.registry.importers.inspection import ask, ask_folder, plain
from services.registry.importers.limited_process import Limits
from services.registry.ports import Progress

_FIT = "services.lm.adapters.fit"
# Libraries try by a few bytes where temporary files may lie.
_FIT_LIMITS = Limits(memory_bytes=12 * 1024**3, cpu_seconds=240, file_bytes=4096, wall_seconds=900.0)


class AdapterImporter:
    """Takes settings and safetensors of a PEFT folder, and nothing else."""

    async def inspect(self, path: Path) -> InspectedSource:
        """Check the folder, whose settings name the model that it was trained on."""
        answer = await ask_folder("adapter_source", path)
        files = tuple(path / name for name in sorted(answer["files"]))
        notes = (*left_aside(answer["left"]), *licence_notes(answer["licence"]))
        source = source_files.inspected(
            path,
            files,
            sum(answer["files"].values()),
            notes,
            base=plain(answer["base"]),
            licence=plain(answer["licence"]),
        )
        return replace(source, base_digest=str(answer["base_digest"]))

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return URI, size and the digest of names and contents of the files that are taken."""
        digest = source_files.folder_digest(await source_files.digests_of(source, progress))
        return Artifact(source.path.as_uri(), digest, source.size_bytes)

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Copy the files to the new folder `out`; progress is in bytes."""
        await source_files.copy(source, out, progress)


async def check_fit(base: Path, adapter: Path) -> None:
    """Return when every tensor of the adapter has its place in the base, in its shape, and the adapter changes it.

    Raises:
        InvalidArgument: It doesn't; the tensors are named.
        ResourceExhausted: The check needed more than it may.
    """
    await ask(_FIT, (str(base), str(adapter)), _FIT_LIMITS)
