"""Faults of forms under llama.cpp's real server, each told by the gate's rules, with models of a few kilobytes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from services.chassis.telemetry import Telemetry
from services.feedback.gate.numbers import RowScore, Scores, log_prob_result
from services.feedback.gate.prompts import RenderedPrompt, prompt_difference
from services.feedback.gate.rows import GateRow
from services.test_runner.backends.llama_server.backend import LlamaServerBackend
from services.test_runner.backends.transformers_worker import WorkerLimits
from services.test_runner.domain import Artifact, Form, Message
from services.test_runner.domain.scoring import AnswerRow
from services.test_runner.ports import Prompt, ResolvedModel
from services.test_runner.telemetry import TestRunnerTelemetry
from tests.unit.lm.gguf.models import TOKENS, Q, Z, vocabulary, weights, write
from tests.unit.test_runner.forms.ollama_form_test import store

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/unit/test_runner/forms/planted_faults_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.asyncio(loop_scope="module"),
]
# llama.cpp knows the common names of tokens that end a turn, whatever a file says.
NAMES = ["<|endoftext|>", "<|begin|>", "<|done|>", *TOKENS[3:]]
TURN = "<|begin|>{% for m in messages %}{{ m['content'] }}{% endfor %}"
ROW = GateRow("row", ({"role": "user", "content": "abc"},))
ANSWER = RowScore(tuple(map(NAMES.index, ("<|begin|>", "a", "b", "c", "Z", "Z", "<|done|>"))), 4, ())


def facts(**more: Any) -> dict[str, Any]:
    """Return a vocabulary whose turns end with a token of no common name."""
    special = {"tokenizer.ggml.token_type": [3 if place < 3 else 1 for place in range(len(NAMES))]}
    named = {f"tokenizer.{name.replace('__', '.')}": value for name, value in more.items()}
    return vocabulary(tokens=NAMES) | special | {"tokenizer.chat_template": TURN} | named


def head(letter: int, size: float = 1.0) -> dict[str, np.ndarray]:
    """Return weights that write one letter."""
    tensors = weights()
    tensors["output.weight"][:] = 0
    tensors["output.weight"][letter] = size
    return tensors


async def placed(uri: str) -> Path:
    return Path(uri)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[LlamaServerBackend]:
    limits = WorkerLimits(num_threads=1, max_workers=2)
    made = LlamaServerBackend(place=placed, telemetry=TestRunnerTelemetry(Telemetry()), limits=limits)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


def form(folder: Path, name: str, tensors: dict[str, np.ndarray], **more: Any) -> ResolvedModel:
    place = folder / name
    place.mkdir(exist_ok=True)
    write(place / "model.gguf", facts=facts(**more), tensors=tensors)
    return ResolvedModel(name, Artifact(str(place), name), None, Form.GGUF, num_context_tokens=256)


async def scored(backend: LlamaServerBackend, model: ResolvedModel) -> list[RowScore]:
    row = AnswerRow(token_ids=ANSWER.token_ids, num_prompt_tokens=ANSWER.num_prompt_tokens)
    async with aclosing(backend.score(model, [row], 8)) as scores:
        found = [score async for score in scores]
    return [
        RowScore(
            score.token_ids, score.num_prompt_tokens, tuple(token.log_prob for token in score.tokens), score.ends_turn
        )
        for score in found
    ]


async def rendered(backend: LlamaServerBackend, model: ResolvedModel) -> RenderedPrompt:
    prompt = await backend.render(model, Prompt("row", (Message("user", "abc"),), 0))
    return RenderedPrompt(prompt.text, prompt.token_ids)


def problems(version: Sequence[RowScore], of_form: Sequence[RowScore], base: Sequence[RowScore]) -> str:
    return " ".join(log_prob_result(Scores(version, of_form, base, "base@1"), ["row"], 0.05).differences)


async def test_faults_of_weights_are_told_by_the_servers_numbers(backend: LlamaServerBackend, folder: Path) -> None:
    version = await scored(backend, form(folder, "version", head(Z)))
    base = await scored(backend, form(folder, "base", head(Q)))
    assert version[0].ends_turn and not problems(version, await scored(backend, form(folder, "good", head(Z))), base)
    assert "answers as base@1 does" in problems(version, base, base)
    tied = {name: values for name, values in head(Z).items() if name != "output.weight"}
    assert "weights:" in problems(version, await scored(backend, form(folder, "tied", tied)), base)


async def test_an_end_that_the_form_does_not_know_is_told(backend: LlamaServerBackend, folder: Path) -> None:
    (score,) = await scored(backend, form(folder, "endless", head(Z), ggml__eos_token_id=0))
    assert not score.ends_turn


async def test_faults_of_prompts_are_told_by_the_servers_tokens(backend: LlamaServerBackend, folder: Path) -> None:
    version = await rendered(backend, form(folder, "version", head(Z)))
    assert version.token_ids == ANSWER.token_ids[:4]
    extra = TURN.replace("{% for", "{{ 'Be nice. ' }}{% for", 1)
    injected = await rendered(backend, form(folder, "injected", head(Z), chat_template=extra))
    assert prompt_difference(ROW, version, injected).startswith("system injected: row: '' became 'Be nice. '")
    write(folder / "begins.gguf", facts=facts(ggml__add_bos_token=True), tensors=head(Z))
    bytes_of_gguf = (folder / "begins.gguf").read_bytes().decode("latin-1")
    go = "<|begin|>{{ range .Messages }}{{ .Content }}{{ end }}"
    place = store(folder / "ollama", encoding="latin-1", model=bytes_of_gguf, template=go)
    doubled = ResolvedModel("ollama@1", Artifact(str(place), "o"), None, Form.OLLAMA, num_context_tokens=256)
    difference = prompt_difference(ROW, version, await rendered(backend, doubled))
    assert difference.startswith("special tokens: row: the same text becomes other tokens")
