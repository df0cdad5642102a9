"""Files of dataset rows, as the registry needs them read and written."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from services.registry.domain.dataset import DatasetFileForm, DatasetSource, RowFileReading


class RowFiles(Protocol):
    """Reads and writes files of dataset rows in foreign forms, within bounds."""

    def is_lines(self, path: Path) -> bool:
        """Whether a file is JSON lines."""

    def place(self) -> AbstractContextManager[Path]:
        """Lend a path for a file, which is gone at the end."""

    async def read(self, path: Path, source: DatasetSource, out: Path) -> RowFileReading:
        """Write what a file's rows become, as lines of a dataset.

        Raises:
            InvalidArgument: It is damaged, or made to break its reader.
            TooLarge: It needs more than it may.
        """

    async def write(self, path: Path, form: DatasetFileForm, out: Path) -> None:
        """Write the rows of a dataset's file in a form."""
