"""The folder in which imports are prepared."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.chassis.errors import ResourceExhausted

# Prepared here, then copied to where artifacts are kept.
_COPIES = 2
_SLACK_BYTES = 64 * 1024**2


class Workspace:
    """Lends one folder per import; nothing in it outlives the import, or the next start of the service.

    Args:
        root: The folder; only this process uses it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def clear(self) -> None:
        """Remove what a killed process left, and make the folder."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(parents=True)

    def check_space(self, written_bytes: int) -> None:
        """Raise ResourceExhausted when the disk has no room to prepare and keep that many bytes."""
        needed = _COPIES * written_bytes + _SLACK_BYTES
        free = shutil.disk_usage(self._root).free
        if free < needed:
            raise ResourceExhausted(
                f"The import needs {needed} bytes in {self._root}, where {free} bytes are free.",
                "Free space there or point REGISTRY_DATA_DIR elsewhere, then import again.",
                folder=str(self._root),
                needed_bytes=str(needed),
                free_bytes=str(free),
            )

    @contextmanager
    def folder(self, import_id: str) -> Iterator[Path]:
        """Lend an empty folder for as long as the block runs."""
        place = self._root / import_id
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
