"""Forms that are folders of safetensors: the adapter and the merged weights, each with a card."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from services.chassis.machine.files import write_atomically
from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion
from services.registry.importers.folder_inspection import PROVENANCE
from services.registry.jobs.exporters.card import CARD, write_card
from services.registry.jobs.exporters.conversion import convert, weights_of
from services.registry.jobs.exporters.copying import copy_files
from services.registry.ports import Progress


class AdapterWriter:
    """Writes the adapter as PEFT reads it, with a card and what it was trained for."""

    def __init__(self, profile_digest: Callable[[str], str]) -> None:
        self._profile_digest = profile_digest

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Accept every adapter."""

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the adapter to the new folder `out`."""
        await copy_files(source.folder, out, progress, linked=True, left_out=(CARD,))
        profile_digest = self._profile_digest(source.spec.profile_id)
        provenance = {
            "model_version_id": source.version.version_id,
            "digest": source.version.artifact.digest,
            "base_model_version_id": source.whole.version_id,
            "base_digest": source.whole.artifact.digest,
            "profile_id": source.spec.profile_id,
            "profile_digest": profile_digest,
        }
        write_atomically(out / PROVENANCE, json.dumps(provenance, indent=2) + "\n")
        write_card(source, out, profile_digest=profile_digest)
        return ()


class MergedWriter:
    """Writes full weights in Hugging Face form, the adapter merged in where there is one."""

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Accept all weights."""

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the weights to the new folder `out`.

        Raises:
            InvalidArgument: They cannot be merged.
        """
        weights, adapter = weights_of(source)
        notes: tuple[str, ...] = ()
        if adapter is None:
            await copy_files(weights, out, progress, linked=True, left_out=(CARD,))
        else:
            places = (str(weights), str(adapter), str(out))
            notes = await convert(("merge", *places, "--number-type", source.spec.number_type), source, progress)
        write_card(source, out, notes=notes)
        return notes
