"""Runs the conversion of weights in a limited process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.chassis.errors import InvalidArgument
from services.chassis.machine.files import size_below
from services.registry.domain.export import ExportSource
from services.registry.importers.inspection import check
from services.registry.importers.limited_process import Limits, run_limited
from services.registry.ports import Progress

_CONVERSION = "services.lm.conversion"
_LIBRARIES_BYTES = 6 * 1024**3
_SIDE_FILES_BYTES = 256 * 1024**2
# A block size that no row fills makes a tensor wider than its number type is.
_FALLBACK_BYTES_PER_PARAMETER = 2
_PARAMETERS_PER_SECOND = 500_000
_LEAST_SECONDS = 300


async def convert(arguments: tuple[str, ...], source: ExportSource, progress: Progress) -> tuple[str, ...]:
    """Run one command of the conversion and return its notes; progress is in bytes of what it writes.

    Raises:
        InvalidArgument: The weights cannot be converted so; the forms that can be had are named.
        ResourceExhausted: It needed more than it may, or the disk became full.
    """
    last: dict[str, Any] = {}

    async def tell(line: dict[str, Any]) -> None:
        check(line)
        last.clear()
        last.update(line)
        if line.get("total"):
            await progress(int(line["done"]), int(line["total"]))

    await run_limited(_CONVERSION, arguments, _limits(source), tell)
    if not last.get("ok"):
        raise InvalidArgument("The conversion ended without a result.", "Export the version again.")
    return tuple(map(str, last.get("notes", ())))


def _limits(source: ExportSource) -> Limits:
    num_parameters = source.whole.facts.num_parameters
    written_bytes = source.spec.written_bytes(num_parameters, source.version.artifact.size_bytes)
    read_bytes = sum(size_below(folder) for folder in (source.folder, source.base_folder) if folder is not None)
    seconds = _LEAST_SECONDS + num_parameters // _PARAMETERS_PER_SECOND
    return Limits(
        # Address space: files that are mapped into memory count, though they take none.
        memory_bytes=_LIBRARIES_BYTES + 2 * (read_bytes + written_bytes),
        cpu_seconds=seconds,
        file_bytes=max(written_bytes, _FALLBACK_BYTES_PER_PARAMETER * num_parameters) + _SIDE_FILES_BYTES,
        wall_seconds=8.0 * seconds,
    )


def weights_of(source: ExportSource) -> tuple[Path, Path | None]:
    """Return the folder of the full weights, and that of the adapter on them, if there is one."""
    return (source.base_folder, source.folder) if source.base_folder is not None else (source.folder, None)
