"""The form for Ollama: a store folder with the GGUF, where it stops, and how much context it has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.chassis.wire.names import shown
from services.protocols.contract import NoMaterial
from services.protocols.profile import get_profile
from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion, ModelVersionKind
from services.registry.importers.inspection import ask_folder
from services.registry.jobs.exporters.gguf import GgufWriter
from services.registry.ollama.pulling import FACTS_FILE
from services.registry.ollama.store import OllamaModel, config_of, write_store
from services.registry.ollama.template import template_of
from services.registry.ports import Progress

_READS_GGUF_TEMPLATES = "0.33.0"
_MAX_NAME = 100


class OllamaWriter:
    """Writes a store folder with one model; its GGUF is written on the way, or is that of the version."""

    def __init__(self, gguf: GgufWriter) -> None:
        self._gguf = gguf

    def check(self, spec: ExportSpec, whole: ModelVersion) -> None:
        """Raise InvalidArgument when GGUF has no form of the architecture."""
        if whole.kind is not ModelVersionKind.GGUF:
            self._gguf.check(spec, whole)

    async def write(self, source: ExportSource, out: Path, progress: Progress) -> Sequence[str]:
        """Write the store to the new folder `out`.

        Raises:
            InvalidArgument: The weights cannot be written as GGUF.
        """
        folder = source.folder
        notes: tuple[str, ...] = ()
        if source.version.kind is not ModelVersionKind.GGUF:
            folder = out.with_name("gguf")
            notes = tuple(await self._gguf.write(source, folder, progress))
        facts = await ask_folder("gguf", folder)
        offers_functions = await asyncio.to_thread(_offers_functions, source.spec.profile_id)
        template, limits = await template_of(folder / "model.gguf", offers_functions=offers_functions)
        pulled = await asyncio.to_thread(_pulled, source)
        model = _model(source, folder / "model.gguf", facts, template, tuple(map(str, pulled.get("licenses", ()))))
        await asyncio.to_thread(write_store, out, source.spec.model_id, model)
        return (*notes, *limits, *_renderer_notes(source, pulled))


def _offers_functions(profile_id: str) -> bool:
    """Whether requests bring functions: they may, where the protocol is not known."""
    if not profile_id:
        return True
    profile = get_profile(profile_id)
    try:
        return any(profile.tools_for(case) for case in profile.draw(0, len(profile.categories)))
    except NoMaterial:
        return True


def _pulled(source: ExportSource) -> dict[str, Any]:
    """Return what Ollama knew of the weights, where they were pulled from there."""
    facts = (source.base_folder or source.folder) / FACTS_FILE
    return dict(json.loads(facts.read_bytes())) if facts.is_file() else {}


def _renderer_notes(source: ExportSource, pulled: dict[str, Any]) -> tuple[str, ...]:
    renderer = str(dict(pulled.get("config") or {}).get("renderer") or "")[:_MAX_NAME]
    if not renderer or source.spec.renderer:
        return ()
    return (
        f"Ollama writes the prompts of {shown(source.whole.model_id)} by its own renderer {shown(renderer)}; this form "
        "has them as the model was trained. Name the renderer, and the parser, to have Ollama's.",
    )


def _model(
    source: ExportSource, gguf: Path, facts: dict[str, Any], template: str, licences: tuple[str, ...]
) -> OllamaModel:
    spec, licence = source.spec, source.whole.facts.licence
    parameters = {"stop": facts["stops"], "num_ctx": spec.num_ctx or int(facts["context_length"])}
    number_type = spec.number_type or str(facts["number_type"])
    # An older one would write prompts of its own where no template is.
    requires = "" if template or spec.renderer else _READS_GGUF_TEMPLATES
    return OllamaModel(
        gguf,
        config_of(
            str(facts["architecture"]),
            int(facts["num_parameters"]),
            number_type,
            renderer=spec.renderer,
            parser=spec.parser,
            requires=requires,
        ),
        template="" if spec.renderer else template,
        parameters={name: value for name, value in parameters.items() if value},
        licenses=licences or ((licence,) if licence else ()),
    )
