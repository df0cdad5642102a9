"""OpenAI's client and lm-eval ask a tiny random model through the real stack."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

from services.lm.loading import load_tokenizer
from services.lm.tiny import write_tiny_model
from services.protocols.cases.scoring import Scoring
from services.protocols.profile import get_profile
from tests.integration.gateway_routes.tiny_model.conftest import Real
from tests.integration.tiny_stack import MODEL, add_suite, import_model
from ui.cli.__main__ import app

MESSAGES: list[Any] = [{"role": "user", "content": "Name a colour."}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {}}}]


pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]


async def _chat(real: Real, **more: Any) -> Any:
    asked = {"model": f"{MODEL}@1", "messages": MESSAGES, "temperature": 0, "max_tokens": 24, **more}
    return await real.client.chat.completions.create(**asked)


async def test_the_imported_version_is_the_model(real: Real) -> None:
    # Other tests train further ones.
    assert f"{MODEL}@1" in [one.id async for one in real.client.models.list()]


async def test_a_greedy_answer_is_the_same_whole_and_streamed(real: Real) -> None:
    whole = await _chat(real, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    assert whole.usage.completion_tokens == len(choice.logprobs.content) > 0
    assert all(one.logprob <= 0 and len(one.top_logprobs) == 3 for one in choice.logprobs.content)
    text, usage = "", None
    async for chunk in await _chat(real, stream=True, stream_options={"include_usage": True}):
        text += "".join(one.delta.content or "" for one in chunk.choices)
        usage = chunk.usage or usage
    assert text == choice.message.content
    assert usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


async def test_one_seed_gives_one_sampled_answer(real: Real) -> None:
    chosen = {"temperature": 1.0, "top_p": 0.9, "extra_body": {"top_k": 50, "min_p": 0.01}}
    first, again, other = [await _chat(real, seed=seed, **chosen) for seed in (3, 3, 4)]
    assert first.choices[0].message.content == again.choices[0].message.content != other.choices[0].message.content


async def test_tools_may_be_offered(real: Real) -> None:
    called = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    history = [
        *MESSAGES,
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "content": "red", "tool_call_id": "c"},
    ]
    answer = await _chat(real, messages=history, tools=TOOLS)
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")


async def test_json_and_calls_that_are_asked_for_come_from_a_model_that_says_nothing(real: Real) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}}
    choices = (await _chat(real, response_format=form, n=2, temperature=1, max_tokens=80)).choices
    for choice in choices:
        told = json.loads(choice.message.content)
        assert told["colour"] in ("red", "blue") and 1 <= told["count"] <= 9 and choice.finish_reason == "stop"
    tool = {"type": "function", "function": {"name": "paint", "parameters": schema}}
    for tool_choice in ("required", {"type": "function", "function": {"name": "paint"}}):
        asked = {"tools": [tool], "tool_choice": tool_choice, "parallel_tool_calls": False, "max_tokens": 120}
        choice = (await _chat(real, **asked)).choices[0]
        assert (choice.finish_reason, choice.message.tool_calls[0].function.name) == ("tool_calls", "paint")
        assert json.loads(choice.message.tool_calls[0].function.arguments).keys() == {"colour", "count"}
    with pytest.raises(openai.BadRequestError, match="uniqueItems"):
        await _chat(real, response_format=form | {"json_schema": {"name": "x", "schema": {"uniqueItems": True}}})


async def test_a_text_is_scored_and_continued(real: Real) -> None:
    prompt = "The sky is blue. The grass is"
    asked: dict[str, Any] = {"model": MODEL, "prompt": prompt, "temperature": 0, "logprobs": 2, "echo": True}
    scored = (await real.client.completions.create(max_tokens=0, **asked)).choices[0]
    continued = (await real.client.completions.create(max_tokens=5, **asked)).choices[0]
    assert scored.text == prompt
    assert scored.logprobs is not None
    assert continued.logprobs is not None
    assert "".join(scored.logprobs.tokens or []) == prompt
    assert scored.logprobs.token_logprobs is not None
    count = len(scored.logprobs.token_logprobs)
    assert scored.logprobs.token_logprobs[0] is None
    assert continued.logprobs.token_logprobs is not None
    assert continued.logprobs.token_logprobs[1:count] == pytest.approx(scored.logprobs.token_logprobs[1:], abs=1e-4)
    assert continued.text.startswith(prompt)


async def test_token_ids_are_continued_as_their_text_is(real: Real, tmp_path: Path) -> None:
    text = "Paris is the"
    asked: dict[str, Any] = {"model": f"{MODEL}@1", "temperature": 0, "max_tokens": 8, "echo": True, "logprobs": 1}
    by_text = (await real.client.completions.create(prompt=text, **asked)).choices[0]
    write_tiny_model(tmp_path / "same")
    ids = load_tokenizer(tmp_path / "same").encode(text)
    by_ids = (await real.client.completions.create(prompt=[ids, ids], **asked)).choices
    assert [one.model_dump(exclude={"index"}) for one in by_ids] == [by_text.model_dump(exclude={"index"})] * 2
    with pytest.raises(openai.BadRequestError, match="no token"):
        await real.client.completions.create(prompt=[10**6], **asked)


async def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(real: Real) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await _chat(real, messages=[{"role": "user", "content": "word " * 2000}])
    assert caught.value.code == "context_length_exceeded"
    assert "4096" in caught.value.message.replace(",", "")


async def test_a_reader_who_leaves_makes_room_for_the_next(real: Real) -> None:
    stream = await _chat(real, stream=True, max_tokens=3000, temperature=1.0, seed=1)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    await stream.close()
    assert (await _chat(real, max_tokens=2)).usage.completion_tokens <= 2


async def test_a_case_is_shown_as_the_model_reads_it(real: Real) -> None:
    case = json.loads(_run(real, "test-suites", "show", real.stack.suite, "--json"))["test_cases"][0]["case_id"]
    body = json.loads(_run(real, "test-runs", "preview", MODEL, "--suite", real.stack.suite, "--case", case, "--json"))
    assert "".join(body["tokens"]) == body["text"]
    assert body["text"].startswith("<|im_start|>system")


def _run(real: Real, *arguments: str) -> str:
    said = CliRunner().invoke(app, [*arguments, "--url", real.url])
    assert said.exit_code == 0, said.stderr
    return said.stdout


async def test_lm_eval_runs_on_the_real_stack(real: Real, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="needs lm-eval: pip install 'drillyard[lm-eval]'")
    result = json.loads(_run(real, "test-runs", "lm-eval", MODEL, "--limit", "4", "--json"))
    assert {name: one["num_samples"] for name, one in result["tasks"].items()} == {
        "drillyard_general_choice": 4,
        "drillyard_general_answer": 4,
    }


def talkative_model(folder: Path, seed: int) -> Path:
    """Write a model that answers in letters: it says the last token of its prompt again and again."""
    write_tiny_model(folder, seed=seed)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n'", "assistant\nA'"))
    return folder


async def test_a_candidate_gets_the_name_by_what_it_answers_and_gives_it_back(real: Real, tmp_path: Path) -> None:
    registry, alias = real.stack.registry, f"{MODEL}:champion"
    case = replace(get_profile("text").suites()[0].cases[0], scoring=Scoring("none"))
    suite = await add_suite(registry, real.stack.data_dir, "text/any", [case])
    champion = await import_model(registry, talkative_model(tmp_path / "champion", 1))
    candidate = await import_model(registry, talkative_model(tmp_path / "candidate", 2))

    async def answering() -> str:
        await asyncio.sleep(1.0)
        return str((await _chat(real, model=alias, max_tokens=2)).model)

    def promoted(version: str) -> Any:
        said = CliRunner().invoke(app, ["promote", version, "--alias", alias, "--suite", suite, "--json", *url])
        return json.loads(said.stdout)

    url = ("--url", real.url)
    first = promoted(champion)
    assert (first["step"], first["candidate"]["rate"]) == ("promoted", 1.0), first["sentence"]
    assert await answering() == champion
    # The model that says nothing but line breaks.
    refused = promoted(f"{MODEL}@1")
    assert (refused["step"], refused["candidate"]["rate"]) == ("refused", 0.0)
    assert await answering() == champion, "a candidate that fails is never seen under the name"
    second = promoted(candidate)
    assert (second["step"], second["champion"]["model_version_id"]) == ("promoted", champion) and second["comparison"]
    assert await answering() == candidate
    assert json.loads(_run(real, "rollback", alias, "--json"))["model_version_id"] == champion
    assert await answering() == champion
