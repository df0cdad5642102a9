"""Models that another service of this installation stores: what people have uploaded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.ports import FetchPlace

_FIELD = "source.artifact"


class ArtifactSource:
    """Reads an uploaded GGUF file, or a folder in Hugging Face's form or in PEFT's."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def check(self, source: ImportSource) -> None:
        """Raise InvalidArgument unless an artifact is named with its digest."""
        if source.artifact is None or not source.artifact.uri or not source.artifact.digest:
            raise InvalidArgument(
                "The artifact has no URI or no digest.", "Give those of a whole upload.", field=_FIELD
            )

    async def fetch(self, source: ImportSource, place: FetchPlace) -> FetchedModel:
        """Return where its bytes lie.

        Raises:
            FailedPrecondition: What is there has another digest, or is damaged.
            NotFound: There is nothing.
            PermissionDenied: It belongs to none whose artifacts may be read.
        """
        assert source.artifact is not None
        place.check_space(0, source.artifact.size_bytes)
        path = await self._artifacts.local_path(source.artifact.uri)
        if source.artifact.digest.rpartition(":")[2] not in source.artifact.uri:
            raise FailedPrecondition("The artifact's digest is not that of its URI.", "Upload the model again.")
        return FetchedModel(await asyncio.to_thread(_model_in, path), source.artifact.uri)


def _model_in(path: Path) -> Path:
    """Return the GGUF file, or its first part, of a folder that holds nothing else; else the folder."""
    files = sorted(path.iterdir()) if path.is_dir() else []
    is_gguf = bool(files) and all(file.suffix.lower() == ".gguf" for file in files)
    return files[0] if is_gguf else path
