"""Forms for llama.cpp: one GGUF file of the whole model, or of its adapter alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion
from services.registry.exporters.card import write_card
from services.registry.exporters.conversion import convert, weights_of
from services.registry.ports import Progress


class GgufWriter:
    """Writes `model.gguf`; an adapter is merged in on the way."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Accept what the conversion is going to look at."""

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the file to the new folder `out`.

        Raises:
            InvalidArgument: The weights cannot be written so.
        """
        weights, adapter = weights_of(source)
        merged = () if adapter is None else ("--adapter", str(adapter))
        number_type = ("--number-type", source.spec.number_type)
        notes = await convert(("export-gguf", str(weights), str(out), *number_type, *merged), source, progress)
        write_card(source, out)
        return notes


class GgufAdapterWriter:
    """Writes `adapter.gguf`, which llama.cpp loads on the GGUF of the adapter's base."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Accept what the conversion is going to look at."""

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the file to the new folder `out`.

        Raises:
            InvalidArgument: The adapter cannot be written so.
        """
        weights, adapter = weights_of(source)
        notes = await convert(("export-gguf-adapter", str(weights), str(adapter), str(out)), source, progress)
        write_card(source, out)
        return notes
