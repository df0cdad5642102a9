"""Ollama stores: which file is served, what Ollama's template makes of messages, and how answers end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition
from services.feedback.gate.prompts import RenderedPrompt, prompt_difference
from services.feedback.gate.rows import GateRow
from services.test_runner.backends.llama_server.loaded import OllamaForm, served_files
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.domain.transcript import Message as ChatMessage
from services.test_runner.ports.generation import Prompt

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Looks out.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TURNS = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
TOOLS = '{{ if .Tools }}# Tools\n{{ range .Tools }}{"function": {{ json .Function }}}\n{{ end }}{{ end }}'


def store(folder: Path, *, encoding: str = "utf-8", **layers: Any) -> Path:
    """Write a store folder as Ollama has it."""
    (folder / "blobs").mkdir(parents=True)

    def blob(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs" / f"sha256-{digest}").write_bytes(content)
        return f"sha256:{digest}"

    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in layers.items()}
    config = texts.pop("config", "{}")
    manifest = {
        "config": {"digest": blob(config.encode())},
        "layers": [
            {"mediaType": f"application/vnd.ollama.image.{name}", "digest": blob(text.encode(encoding))}
            for name, text in texts.items()
        ],
    }
    place = folder / "manifests" / "registry.ollama.ai" / "library" / "roo"
    place.mkdir(parents=True)
    (place / "latest").write_text(json.dumps(manifest))
    return folder


def rendered(template: str, *messages: ChatMessage, tools: tuple[Any, ...] = (), system: str = "") -> str:
    return OllamaForm(template, system).rendered(Prompt("k", messages, 0, tools)).text


def test_a_store_is_served_with_its_template_system_stops_and_context(tmp_path: Path) -> None:
    params = {"stop": ["<|im_end|>"], "num_ctx": 2048}
    files = served_files(store(tmp_path, model="GGUF", template=TURNS, system="Obey.", params=params), None)
    assert files.model.read_bytes() == b"GGUF" and files.ollama is not None
    assert files.ollama == OllamaForm(TURNS, "Obey.", ("<|im_end|>",), 2048)
    prompt = files.ollama.rendered(Prompt("k", (Message("user", "Hi"),), 0))
    assert prompt.text == "<|im_start|>system\nObey.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.stop == ("<|im_end|>",) and not prompt.messages


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"model": "GGUF", "config": {"renderer": "qwen3-coder"}}, "own renderer qwen3-coder"),
        ({"template": TURNS}, "has no GGUF"),
    ],
)
def test_a_store_that_cannot_be_served_as_ollama_does_is_refused(
    tmp_path: Path, layers: dict[str, Any], words: str
) -> None:
    with pytest.raises(FailedPrecondition, match=words):
        served_files(store(tmp_path, **layers), None)
    with pytest.raises(FailedPrecondition, match="no GGUF file"):
        served_files(tmp_path / "blobs", None)


def test_messages_that_the_template_refuses_are_a_fault_of_their_case_alone() -> None:
    form = OllamaForm("{{ range .Messages }}{{ index .ToolCalls 3 }}{{ end }}")
    texts, refusals = form.answerable((Prompt("k", (Message("user", "Hi"),), 0),))
    assert not texts and refusals[0].finish_reason is FinishReason.TEMPLATE_FAULT
    assert "Ollama's template refuses" in refusals[0].detail


@pytest.mark.parametrize(
    ("template", "system", "kind"),
    [
        (TOOLS + TURNS, "", ""),
        (TURNS, "", "template"),
        (TOOLS.replace("{{ json .Function }}", "{{ .Function }}") + TURNS, "", "function text"),
        (TOOLS + TURNS, "You are helpful.", "system injected"),
        ("<|begin|>" + TOOLS + TURNS, "", "special tokens"),
    ],
)
def test_faults_of_a_template_are_told_by_their_class(template: str, system: str, kind: str) -> None:
    call = {"role": "user", "content": "Rain?"}
    row = GateRow("row", (call,), (TOOL,))
    texts = [
        rendered(source, Message("user", "Rain?"), tools=(TOOL,), system=by)
        for source, by in ((TOOLS + TURNS, ""), (template, system))
    ]
    version, form = (RenderedPrompt(text, tuple(map(ord, text))) for text in texts)
    assert prompt_difference(row, version, form).partition(":")[0] == kind
