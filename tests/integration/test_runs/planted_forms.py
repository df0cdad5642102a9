"""A trained model of a few kilobytes, what it was trained from, and forms of it with one planted fault each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf.quants import quantize

from services.lm.conversion.gguf import convert_gguf
from services.registry.ollama.store import OllamaModel, config_of, write_store
from tests.unit.lm.gguf.models import HIDDEN, TOKENS, vocabulary, weights, write

# llama.cpp knows the common names of tokens that end a turn, whatever a file says.
_NAMES: Final = ["<|endoftext|>", "<|begin|>", "<|done|>", *TOKENS[3:]]
_TEMPLATE: Final = (
    "<|begin|>{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}"
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] or '' }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }}]{% endfor %}{% endfor %}"
)
_TOOLS: Final = "{{ range .Tools }}[{{ .Function.Name }}]{{ end }}"
_CALLS: Final = "{{ range .ToolCalls }}[{{ .Function.Name }}]{{ end }}"
_GO: Final = f"<|begin|>{_TOOLS}{{{{ range .Messages }}}}{{{{ .Role }}}}: {{{{ .Content }}}}{_CALLS}{{{{ end }}}}"
# Of a 4-bit type: what training adds is finer than its steps.
_STEP: Final = 1 / 64
_TRAINED: Final = 0.4 * _STEP


def _tensors(*, is_trained: bool) -> dict[str, np.ndarray]:
    """Weights whose head a file of Q4_1 holds exactly, or that with what training added."""
    noise, tensors = np.random.default_rng(1), weights()
    tensors["token_embd.weight"] = (1 + noise.standard_normal((len(_NAMES), HIDDEN)) / 2).astype(np.float32)
    steps = noise.integers(1, 15, (len(_NAMES), HIDDEN))
    steps[:, ::32], steps[:, 1::32] = 0, 15
    inner = (steps > 0) & (steps < 15)
    signs = noise.choice((-1, 1), (len(_NAMES), 1))
    tensors["output.weight"] = (steps * _STEP + is_trained * inner * signs * _TRAINED).astype(np.float32)
    return tensors


def _facts(**more: Any) -> dict[str, Any]:
    special = {"tokenizer.ggml.token_type": [3 if place < 3 else 1 for place in range(len(_NAMES))]}
    named = {f"tokenizer.{name.replace('__', '.')}": value for name, value in more.items()}
    length = {"llama.context_length": 8192}
    return vocabulary(tokens=_NAMES) | special | length | {"tokenizer.chat_template": _TEMPLATE} | named


def write_weights(folder: Path, *, is_trained: bool) -> Path:
    """Write the trained model, or what it was trained from, as a folder in Hugging Face's form."""
    file = write(folder.with_suffix(".gguf"), facts=_facts(), tensors=_tensors(is_trained=is_trained))
    convert_gguf(file, folder)
    return folder


def write_form(folder: Path, fault: str) -> Path:
    """Write a form of the trained model with a fault; a store of Ollama where that is in Ollama's template."""
    trained, facts = _tensors(is_trained=True), _facts()
    raw: list[tuple[str, np.ndarray, Kind]] = []
    if fault == "base shipped as merged":
        trained = _tensors(is_trained=False)
    elif fault == "head re-tied":
        del trained["output.weight"]
    elif fault == "4-bit type that loses what was trained":
        raw = [("output.weight", quantize(trained.pop("output.weight"), Kind.Q4_1), Kind.Q4_1)]
    elif fault == "missing stop":
        facts = _facts(ggml__eos_token_id=0)
    elif fault == "injected system line":
        line = "{% if messages[0]['role'] != 'system' %}system: Be nice.{% endif %}"
        facts = _facts(chat_template=_TEMPLATE.replace("{% for", f"{line}{{% for", 1))
    elif fault == "doubled BOS":
        facts = _facts(ggml__add_bos_token=True)
    folder.mkdir(parents=True)
    file = write(folder / "model.gguf", facts=facts, tensors=trained, raw=raw)
    template = {
        "doubled BOS": _GO,
        "template without tools": _GO.replace(_TOOLS, "").replace(_CALLS, ""),
        "function text printed as a Go struct": _GO.replace(".Function.Name", ".Function"),
    }.get(fault)
    if template is None:
        return folder
    config = config_of("llama", 1, "F32", renderer="", parser="", requires="")
    place = folder.with_suffix(".store")
    write_store(place, "roo", OllamaModel(file, config, template=template))
    return place
