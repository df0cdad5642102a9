"""Ollama's form of a GGUF: its template, stop texts and settings are taken from what the file says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from services.registry.importers.inspection import ask
from services.registry.importers.limited_process import Limits
from services.registry.ollama.store import OllamaModel, config_of, write_store

# A template is tried on some twenty conversations.
_LIMITS = Limits(memory_bytes=4 * 1024**3, cpu_seconds=120, file_bytes=4096, wall_seconds=600.0)
_FUNCTIONS = (
    "No TEMPLATE is written, since Ollama's language cannot write functions as the model was trained to read them: "
    "Ollama, from 0.33 on, uses the chat template in the GGUF."
)


@dataclass(frozen=True)
class OllamaSettings:
    """What a model of Ollama gets besides what its GGUF says.

    Attributes:
        num_ctx: Tokens of context; 0 to leave it to Ollama.
        offers_functions: False when no request brings functions; else a model whose own chat template writes them gets
            no TEMPLATE, which cannot.
        stop: Texts that end an answer, besides those of the GGUF's own tokens.
        system: Put before each conversation that brings no system message of its own; empty for none.
        licenses: Texts.
        renderer: Name of the code in Ollama that writes prompts; empty for the template.
        parser: Name of the code in Ollama that reads answers; empty for the template's form.
    """

    num_ctx: int = 0
    offers_functions: bool = True
    stop: tuple[str, ...] = ()
    system: str = ""
    licenses: tuple[str, ...] = ()
    renderer: str = ""
    parser: str = ""


async def build_store(folder: Path, name: str, gguf: Path, settings: OllamaSettings) -> tuple[str, ...]:
    """Write a new store folder that holds the GGUF as a model of Ollama; return what a person should know of it.

    The template renders the same bytes as the chat template in the GGUF. Where none can, none is written, and a
    sentence says so: Ollama then uses the chat template in the GGUF.

    Raises:
        InvalidArgument: The GGUF or the name is none.
        ResourceExhausted: Reading the GGUF needed more than it may.
    """
    facts = await ask("services.go_template", (str(gguf),), _LIMITS)
    notes, template = tuple(map(str, facts["notes"])), str(facts["template"])
    if settings.renderer:
        # Ollama reads no template beside it.
        notes, template = (), ""
    elif facts["writes_functions"] and settings.offers_functions:
        notes, template = (*notes, _FUNCTIONS), ""
    stop = list(dict.fromkeys((*facts["stop"], *settings.stop)))
    config = config_of(
        str(facts["architecture"]),
        int(facts["num_parameters"]),
        str(facts["number_type"]),
        renderer=settings.renderer,
        parser=settings.parser,
    )
    parameters = {"stop": stop} if stop else {}
    model = OllamaModel(
        gguf,
        config,
        template=template,
        system=settings.system,
        parameters=parameters | ({"num_ctx": settings.num_ctx} if settings.num_ctx else {}),
        licenses=settings.licenses,
    )
    await asyncio.to_thread(write_store, folder, name, model)
    return notes
