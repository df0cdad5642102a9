"""The TEMPLATE of a GGUF in Ollama's form, made in a limited process."""

from __future__ import annotations

from pathlib import Path

from services.registry.importers.inspection import ask
from services.registry.importers.limited_process import Limits

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
