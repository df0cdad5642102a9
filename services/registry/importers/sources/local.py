"""Models that lie on the registry's machine already."""

from __future__ import annotations

import os
from pathlib import Path

from services.chassis.errors import InvalidArgument
from services.chassis.wire.names import shown
from services.lm.conversion.parts import part_files
from services.registry.domain.model_import import FetchedModel, ImportSource
from services.registry.importers import source_files
from services.registry.ports import FetchPlace

_GGUF_FIELD = "source.gguf_path"
_FOLDER_FIELD = "source.folder_path"


class GgufPath:
    """A GGUF file, or any part of a split one, below the `roots`; empty for anywhere."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self._roots = roots

    def check(self, source: ImportSource) -> None:
        """Raise InvalidArgument unless the path leads to readable regular files."""
        self.locate(source.value)

    async def fetch(self, source: ImportSource, _place: FetchPlace) -> FetchedModel:
        """Return where the file lies."""
        return FetchedModel(self.locate(source.value))

    def locate(self, value: str) -> Path:
        """Return the real path of a readable regular file; a part keeps its name, and the others are checked too."""
        real = self._file(value)
        # Where links lead to files that are named by what they hold, only the link tells which part it is.
        named = Path(value).parent.resolve() / Path(value).name
        path = named if len(part_files(named)) > 1 else real
        for part in part_files(path):
            if part.is_symlink() or part.exists():
                self._file(str(part))
        return path

    def _file(self, value: str) -> Path:
        path = source_files.locate(value, _GGUF_FIELD, self._roots)
        if not path.is_file():
            raise InvalidArgument(f"{shown(value)} is not a regular file.", "Name one GGUF file.", field=_GGUF_FIELD)
        source_files.check_readable(path, _GGUF_FIELD)
        return path


class FolderPath:
    """A folder in Hugging Face's form or in PEFT's, below the `roots`; empty for anywhere."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self._roots = roots

    def check(self, source: ImportSource) -> None:
        """Raise InvalidArgument unless the path leads to a folder that can be listed."""
        self.locate(source.value)

    async def fetch(self, source: ImportSource, _place: FetchPlace) -> FetchedModel:
        """Return where the folder lies."""
        return FetchedModel(self.locate(source.value))

    def locate(self, value: str) -> Path:
        """Return the real path of a folder that can be listed."""
        path = source_files.locate(value, _FOLDER_FIELD, self._roots)
        if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
            raise InvalidArgument(
                f"{shown(value)} is not a folder that the registry can read.",
                "Name a folder that holds config.json and safetensors, or an adapter.",
                field=_FOLDER_FIELD,
            )
        return path
