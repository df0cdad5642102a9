"""Imports of GGUF models: the headers are checked, then the weights are converted, each in a limited process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.chassis.artifacts import Artifact
from services.registry.domain.model_import import InspectedSource
from services.registry.importers import source_files
from services.registry.importers.folder import licence_notes
from services.registry.importers.inspection import ask, ask_tokenizer, check, plain
from services.registry.importers.limited_process import Limits, run_limited
from services.registry.ports import Progress

_CONVERSION = "services.lm.conversion"
_LEAST_BYTES_PER_PARAMETER = 2
_LIBRARIES_BYTES = 2 * 1024**3
_SIDE_FILES_BYTES = 64 * 1024**2
_PARAMETERS_PER_SECOND = 2_000_000
_LEAST_SECONDS = 60


class GgufImporter:
    """Turns a GGUF model, in one file or in several, into a folder of safetensors with tokenizer and chat template."""

    async def inspect(self, path: Path) -> InspectedSource:
        """Check headers and metadata."""
        answer = await ask(_CONVERSION, ("inspect", str(path)))
        files = tuple(path.with_name(name) for name in answer["files"])
        num_bytes = int(answer["written_bytes"]) + _SIDE_FILES_BYTES
        licence = plain(answer.get("license", ""))
        notes = (*licence_notes(licence), *_lineage(plain(answer.get("original", ""))))
        return source_files.inspected(files[0], files, num_bytes, notes, licence=licence)

    async def identify(self, source: InspectedSource, progress: Progress) -> Artifact:
        """Return the URI of the file or the first part, and the digest and size of all."""
        digests = await source_files.digests_of(source, progress)
        whole = f"sha256:{digests[source.path.name]}" if len(digests) == 1 else source_files.folder_digest(digests)
        return Artifact(source.path.as_uri(), whole, source.size_bytes)

    async def write(self, source: InspectedSource, out: Path, progress: Progress) -> None:
        """Convert the model to the new folder `out`; progress is in bytes of its files."""

        async def tell(line: dict[str, Any]) -> None:
            check(line)
            if line.get("total"):
                await progress(source.size_bytes * int(line["done"]) // int(line["total"]), source.size_bytes)

        source_files.check_unchanged(source)
        await run_limited(_CONVERSION, ("gguf", str(source.path), str(out)), _limits(source.written_bytes), tell)
        await ask_tokenizer(out)
        source_files.check_unchanged(source)


def _lineage(original: str) -> tuple[str, ...]:
    if not original:
        return ()
    return (f"It was quantised from {original}: import hf:{original} to train the weights before that.",)


def _limits(written_bytes: int) -> Limits:
    seconds = _LEAST_SECONDS + written_bytes // _LEAST_BYTES_PER_PARAMETER // _PARAMETERS_PER_SECOND
    return Limits(
        memory_bytes=_LIBRARIES_BYTES + 4 * written_bytes,
        cpu_seconds=seconds,
        file_bytes=written_bytes + _SIDE_FILES_BYTES,
        wall_seconds=4.0 * seconds,
    )
