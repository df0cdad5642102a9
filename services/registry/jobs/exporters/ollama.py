"""The form for Ollama: a store folder with the GGUF, where it stops, and how much context it has."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.chassis.wire.names import shown
from services.protocols.contract import NoMaterial
from services.protocols.profile import get_profile
from services.registry.domain.export import ExportSource, ExportSpec
from services.registry.domain.model import ModelVersion, ModelVersionKind
from services.registry.importers.inspection import ask, ask_folder
from services.registry.importers.limited_process import Limits
from services.registry.jobs.exporters.card import write_card
from services.registry.jobs.exporters.gguf import GgufWriter
from services.registry.ollama.pulling import FACTS_FILE
from services.registry.ollama.store import OllamaModel, config_of, write_store
from services.registry.ports import Progress

_READS_GGUF_TEMPLATES = "0.33.0"
_MAX_NAME = 100
# Tokens are longer than this in text and code, whatever the tokenizer.
_CHARACTERS_PER_TOKEN = 3
# As much again for the answers and the client's replies.
_SHARE_OF_PROMPT = 2
# Renderers and parsers of Ollama 0.33, by the architecture in the GGUF.
_BUILT_IN = {"lfm2": "lfm2", "olmo2": "olmo3", "qwen3moe": "qwen3-coder"}


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
        needs = await asyncio.to_thread(_needs_of, source.spec.profile_id)
        template, limits = await template_of(folder / "model.gguf", offers_functions=needs.functions)
        pulled = await asyncio.to_thread(_pulled, source)
        num_ctx, context_notes = _context(source.spec, int(facts["context_length"]), needs.num_ctx)
        facts |= {"num_ctx": num_ctx, "licenses": pulled.get("licenses", ())}
        model = _model(source, folder / "model.gguf", facts, template)
        await asyncio.to_thread(write_store, out, source.spec.model_id, model)
        notes = (*notes, *limits, *context_notes, *_renderer_notes(source, pulled, str(facts["architecture"])))
        announced = replace(source.spec, num_ctx=num_ctx, number_type=str(model.config["file_type"]))
        await asyncio.to_thread(write_card, replace(source, spec=announced), out, notes=notes)
        return notes


@dataclass(frozen=True)
class _Needs:
    """What a protocol asks of a form: functions beside the messages, and tokens of context; 0 for not known."""

    functions: bool = True
    num_ctx: int = 0


def _needs_of(profile_id: str) -> _Needs:
    if not profile_id:
        return _Needs()
    profile = get_profile(profile_id)
    try:
        cases = list(profile.draw(0, len(profile.categories)))
    except NoMaterial:
        return _Needs()
    size = profile.prompt_sizes[-1]
    tools = any(profile.tools_for(case) for case in cases)
    documents = ((profile.messages(case, size), profile.tools_for(case, size)) for case in cases)
    longest = max(len(json.dumps(document, default=dict)) for document in documents)
    needed = _SHARE_OF_PROMPT * longest / _CHARACTERS_PER_TOKEN
    return _Needs(tools, 1 << math.ceil(math.log2(needed)))


def _pulled(source: ExportSource) -> dict[str, Any]:
    """Return what Ollama knew of the weights, where they were pulled from there."""
    facts = (source.base_folder or source.folder) / FACTS_FILE
    return dict(json.loads(facts.read_bytes())) if facts.is_file() else {}


def _context(spec: ExportSpec, most: int, needed: int) -> tuple[int, tuple[str, ...]]:
    """Return the tokens of context that the form announces, and what is to be said of them."""
    if spec.num_ctx or not needed:
        return spec.num_ctx or most, ()
    if most <= needed:
        return most, ()
    return needed, (
        f"num_ctx is {needed}, twice what the longest prompts of {spec.profile_id} take, since Ollama keeps memory for "
        f"all of it; the model can have {most}: announce more where tasks are longer.",
    )


def _renderer_notes(source: ExportSource, pulled: dict[str, Any], architecture: str) -> tuple[str, ...]:
    if source.spec.renderer:
        return ()
    renderer = str(dict(pulled.get("config") or {}).get("renderer") or "")[:_MAX_NAME]
    if renderer:
        return (
            f"Ollama writes the prompts of {shown(source.whole.model_id)} by its own renderer {shown(renderer)}; this "
            "form has them as the model was trained. Name the renderer, and the parser, to have Ollama's.",
        )
    if architecture not in _BUILT_IN:
        return ()
    return (
        f"Ollama has a renderer and a parser {_BUILT_IN[architecture]} of its own for models of this family; this form "
        "has its prompts as the model was trained. Name them where the model is to be asked as Ollama asks its own.",
    )


def _model(source: ExportSource, gguf: Path, facts: dict[str, Any], template: str) -> OllamaModel:
    spec, licence = source.spec, source.whole.facts.licence
    licences = tuple(map(str, facts["licenses"]))
    parameters = {"stop": facts["stops"], "num_ctx": facts["num_ctx"]}
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


# A template is tried on some twenty conversations.
_LIMITS = Limits(memory_bytes=4 * 1024**3, cpu_seconds=120, file_bytes=4096, wall_seconds=600.0)
_FUNCTIONS = (
    "No TEMPLATE is written, since Ollama's language cannot write functions as the model was trained to read them: "
    "Ollama, from 0.33 on, uses the chat template in the GGUF."
)


async def template_of(gguf: Path, *, offers_functions: bool = True) -> tuple[str, tuple[str, ...]]:
    """Return the TEMPLATE that renders the same bytes as the chat template in the GGUF, and a sentence on each limit.

    It is empty where none can; a sentence says so, and Ollama then uses the chat template in the GGUF.

    Args:
        gguf: The file.
        offers_functions: False when no request brings functions. Else a model whose own chat template writes them gets
            no TEMPLATE, which cannot.

    Raises:
        InvalidArgument: The file is no GGUF.
        ResourceExhausted: Reading it needed more than it may.
    """
    facts = await ask("services.lm.conversion.go_template", (str(gguf),), _LIMITS)
    if facts["writes_functions"] and offers_functions:
        return "", (_FUNCTIONS,)
    return str(facts["template"]), tuple(map(str, facts["notes"]))
