"""GGUF versions by llama.cpp's real server, with a model of a few kilobytes that greedily writes Z."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.telemetry import Telemetry
from services.chassis.wire import from_document
from services.test_runner.backends.llama_server.backend import LlamaServerBackend
from services.test_runner.backends.model_pool import WorkerLimits
from services.test_runner.domain.generation import Sampling
from services.test_runner.domain.scoring import AnswerRow
from services.test_runner.domain.test_run import Artifact, Form
from services.test_runner.domain.transcript import FinishReason, Message
from services.test_runner.ports.generation import Answer, BackendFaultError, Prompt, Workload
from services.test_runner.ports.registry import ResolvedModel
from services.test_runner.telemetry import TestRunnerTelemetry
from tests.unit.lm.gguf.models import TOKENS, Z, write

_HOW = "LLAMA_SERVER='/path/to/llama-server' pytest tests/unit/test_runner/forms/llama_versions_test.py"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("LLAMA_SERVER"), reason=f"llama.cpp's server is absent: {_HOW}"),
    pytest.mark.asyncio(loop_scope="module"),
]
ASKED = Message("user", "abc")


async def placed(uri: str) -> Path:
    return Path(uri)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    folder = tmp_path_factory.mktemp("gguf")
    write(folder / "model.gguf")
    return ResolvedModel("tiny-gguf@1", Artifact(str(folder), "sha256:0"), None, Form.GGUF, num_context_tokens=256)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[LlamaServerBackend]:
    made = LlamaServerBackend(
        place=placed, telemetry=TestRunnerTelemetry(Telemetry()), limits=WorkerLimits(num_threads=1)
    )
    yield made
    await made.close()


def workload(model: ResolvedModel, num_prompts: int = 1, **more: int) -> Workload:
    prompts = tuple(Prompt(f"p{place}", (ASKED,), place, timeout_seconds=60) for place in range(num_prompts))
    sampling = from_document(Sampling, {"max_new_tokens": 4, **more})
    return Workload(model.base, None, prompts, sampling, form=Form.GGUF, num_context_tokens=256, test_run_id="run")


async def answers(backend: LlamaServerBackend, work: Workload) -> list[Answer]:
    async with aclosing(backend.generate(work)) as events:
        return [event async for event in events if isinstance(event, Answer)]


async def test_prompts_are_answered_and_rendered_by_the_server(
    backend: LlamaServerBackend, model: ResolvedModel
) -> None:
    given = await answers(backend, workload(model, 3))
    assert [(answer.text, answer.finish_reason) for answer in given] == [("ZZZZ", FinishReason.LENGTH)] * 3
    rendered = await backend.render(model, Prompt("render", (ASKED,), 0))
    assert rendered.text == "abc" and rendered.tokens == ("a", "b", "c")
    assert rendered.token_ids == tuple(map(TOKENS.index, "abc"))


async def test_an_answer_is_scored_token_by_token(backend: LlamaServerBackend, model: ResolvedModel) -> None:
    ids = tuple(map(TOKENS.index, ("a", "Z", "b", "<|im_end|>")))
    rows = [AnswerRow(token_ids=ids, num_prompt_tokens=1), AnswerRow(token_ids=ids[:3], num_prompt_tokens=1)]
    async with aclosing(backend.score(model, rows, 128)) as scores:
        (ended, cut) = sorted([score async for score in scores], key=lambda score: score.row)
    values = [token.log_prob for token in ended.tokens]
    assert [token.token_id for token in ended.tokens] == list(ids[1:]) and None not in values
    assert values[0] is not None and values[1] is not None and values[0] > -0.1 > -5 > values[1]
    assert (ended.ends_turn, cut.ends_turn) == (True, False)
    async with aclosing(backend.score(model, [AnswerRow(token_ids=ids[:1] * 300, num_prompt_tokens=1)], 8)) as scores:
        assert [score.tokens async for score in scores] == [()]
    with pytest.raises(InvalidArgument, match="scores token ids alone"):
        async with aclosing(backend.score(model, [AnswerRow(messages=(ASKED,), answer=ASKED)], 8)) as scores:
            _ = [score async for score in scores]


async def test_a_server_that_dies_breaks_its_work_and_the_next_starts_another(
    backend: LlamaServerBackend, model: ResolvedModel
) -> None:
    await answers(backend, workload(model))
    (loaded,) = backend._idle
    os.killpg(loaded.process.pid, signal.SIGSTOP)
    broken = answers(backend, workload(model, max_new_tokens=40))
    with pytest.raises(BackendFaultError, match=r"llama\.cpp's server ended with code -9"):
        os.killpg(loaded.process.pid, signal.SIGKILL)
        await broken
    assert [answer.text for answer in await answers(backend, workload(model))] == ["ZZZZ"]
    assert len(backend._running) == 1 and Z


async def test_a_machine_without_the_server_says_what_to_install(model: ResolvedModel) -> None:
    limits, telemetry = WorkerLimits(num_threads=1), TestRunnerTelemetry(Telemetry())
    bare = LlamaServerBackend(place=placed, telemetry=telemetry, limits=limits, command="/nowhere/llama-server")
    with pytest.raises(FailedPrecondition, match="is not on this machine") as raised:
        await answers(bare, workload(model))
    assert "Install llama.cpp" in raised.value.next_step


async def test_a_file_that_the_server_cannot_load_is_told_in_its_words(
    backend: LlamaServerBackend, tmp_path: Path
) -> None:
    write(tmp_path / "model.gguf", architecture="odd")
    model = ResolvedModel("odd@1", Artifact(str(tmp_path), "sha256:1"), None, Form.GGUF)
    with pytest.raises(BackendFaultError, match="unknown model architecture: 'odd'"):
        await answers(backend, workload(model))
