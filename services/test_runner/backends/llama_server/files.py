"""Which files of a version's folder a server loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.chassis.errors import FailedPrecondition


@dataclass(frozen=True)
class ServedFiles:
    """What a server loads."""

    model: Path
    adapter: Path | None = None


def served_files(folder: Path, adapter_folder: Path | None) -> ServedFiles:
    """Return the files of a GGUF version and of the GGUF adapter that is put on it.

    Raises:
        FailedPrecondition: A folder has no GGUF file.
    """
    return ServedFiles(_gguf_in(folder), _gguf_in(adapter_folder) if adapter_folder else None)


def _gguf_in(folder: Path) -> Path:
    # Of a file in parts the server is given the first.
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise FailedPrecondition("The version's folder has no GGUF file.", "Export or import it again.")
    return files[0]
