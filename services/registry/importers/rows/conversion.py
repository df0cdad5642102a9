"""Has files of rows read and written by a limited process: what others wrote may be made to exhaust its reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from services.registry.domain.dataset import DatasetFileForm, DatasetSource, RowFileReading
from services.registry.importers.limited_process import Limits, run_limited
from services.registry.importers.rows.files import is_lines
from services.registry.importers.workspace import Workspace

_MODULE = "services.registry.importers.rows"
# Arrow and Python map half a gigabyte before the first row; batches and the ids of a million rows take the rest.
_LIMITS = Limits(
    memory_bytes=2 * 1024**3, cpu_seconds=600, file_bytes=4 * 1024**3, wall_seconds=900.0, subject="The rows' file"
)
# Arrow's own pools reserve address space that would count against the limit.
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
ReadReport: TypeAlias = Callable[[int, int], Coroutine[Any, Any, None]]
"""Takes how many rows of a file were read, and how many of them are wrong."""


class RowFiles:
    """Reads and writes files of dataset rows in foreign forms, within bounds, in a folder of its own."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def is_lines(self, path: Path) -> bool:
        """Whether a file is JSON lines, and neither one array nor Parquet."""
        return is_lines(path)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """Lend a path for a file, which is gone at the end."""
        with self._workspace.folder("rows") as folder:
            yield folder / "rows"

    async def read(
        self, path: Path, source: DatasetSource, out: Path, report: ReadReport | None = None
    ) -> RowFileReading:
        """Write what a file's rows become, as lines of a dataset; tell now and then how far that is.

        Raises:
            InvalidArgument: It is damaged, or made to break its reader.
            TooLarge: It needs more than it may.
        """
        faults: list[tuple[int, str]] = []
        counts: dict[str, int] = {}

        async def keep(line: dict[str, Any]) -> None:
            if "counts" in line:
                counts.update(line["counts"])
                if report:
                    await report(sum(counts.values()), counts["faults"])
            else:
                faults.append((int(line["line"]), str(line["fault"])))

        await asyncio.to_thread(lambda: self._workspace.check_space(0, path.stat().st_size))
        options = json.dumps(asdict(source))
        await run_limited(_MODULE, ("read", str(path), str(out), options), _LIMITS, keep, _ENVIRONMENT)
        return RowFileReading(counts["train"], counts["validation"], counts["faults"], tuple(faults))

    async def write(self, path: Path, form: DatasetFileForm, out: Path, split: str = "") -> None:
        """Write the rows of a dataset's file in a form; only those of a split where one is named."""

        async def pass_over(_: dict[str, Any]) -> None:
            return

        arguments = (form.value.lower(), str(path), str(out), split)
        await run_limited(_MODULE, arguments, _LIMITS, pass_over, _ENVIRONMENT)
