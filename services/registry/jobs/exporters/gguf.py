"""Forms for llama.cpp: one GGUF file of the whole model, or of its adapter alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.chassis.errors import InvalidArgument
from services.lm.conversion.families.architectures.table import BY_MODEL_TYPE, why_not
from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion
from services.registry.jobs.exporters.card import write_card
from services.registry.jobs.exporters.conversion import convert, weights_of
from services.registry.ports import Progress


def _check_architecture(whole: ModelVersion) -> None:
    if whole.facts.architecture not in BY_MODEL_TYPE:
        raise InvalidArgument(
            f"{whole.version_id}: {why_not(whole.facts.architecture)}",
            f"Export it as adapter or merged weights; as GGUF there are {', '.join(BY_MODEL_TYPE)}.",
            field="form",
        )


def _licence(source: ExportSource) -> tuple[str, ...]:
    # One argument: the text may begin with a dash.
    return (f"--licence={source.whole.facts.licence}",)


class GgufWriter:
    """Writes `model.gguf`; an adapter is merged in on the way."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Raise InvalidArgument when GGUF has no form of the architecture."""
        _check_architecture(whole)

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the file to the new folder `out`.

        Raises:
            InvalidArgument: The weights cannot be written so.
        """
        weights, adapter = weights_of(source)
        merged = () if adapter is None else ("--adapter", str(adapter))
        options = ("--number-type", source.spec.number_type, *_licence(source), *merged)
        notes = await convert(("export-gguf", str(weights), str(out), *options), source, progress)
        write_card(source, out, notes=notes)
        return notes


class GgufAdapterWriter:
    """Writes `adapter.gguf`, which llama.cpp loads on the GGUF of the adapter's base."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Raise InvalidArgument when GGUF has no form of the architecture."""
        _check_architecture(whole)

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the file to the new folder `out`.

        Raises:
            InvalidArgument: The adapter cannot be written so.
        """
        weights, adapter = weights_of(source)
        places = (str(weights), str(adapter), str(out))
        notes = await convert(("export-gguf-adapter", *places, *_licence(source)), source, progress)
        write_card(source, out, notes=notes)
        return notes
