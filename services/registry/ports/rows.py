"""Files of dataset rows, as the registry needs them read and written."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from services.registry.domain.dataset import DatasetFileForm, DatasetSource, RowFileReading

ReadReport: TypeAlias = Callable[[int, int], Coroutine[Any, Any, None]]
"""Takes how many rows of a file were read, and how many of them are wrong."""


class RowFiles(Protocol):
    """Reads and writes files of dataset rows in foreign forms, within bounds."""

    def is_lines(self, path: Path) -> bool:
        """Whether a file is JSON lines."""

    def place(self) -> AbstractContextManager[Path]:
        """Lend a path for a file, which is gone at the end."""

    async def read(
        self, path: Path, source: DatasetSource, out: Path, report: ReadReport | None = None
    ) -> RowFileReading:
        """Write what a file's rows become, as lines of a dataset; tell now and then how far that is.

        Raises:
            InvalidArgument: It is damaged, or made to break its reader.
            TooLarge: It needs more than it may.
        """

    async def write(self, path: Path, form: DatasetFileForm, out: Path, split: str = "") -> None:
        """Write the rows of a dataset's file in a form; only those of a split where one is named."""
