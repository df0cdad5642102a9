"""The way of a correction over real processes: said at the command line, judged, built into a dataset and changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from services.protocols.profile import get_profile
from tests.integration.processes import start_service
from tests.integration.tiny_stack import MODEL, TinyStack, tiny_stack
from ui.cli.__main__ import app
from ui.cli.connection import Gateway

PROFILE = get_profile("roo_xml")
CASES = list(PROFILE.draw(7, 2, tools=("list_files",), split="train"))
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@dataclass
class Real:
    """A gateway in front of all services but the trainer, and a run of material whose cases test nothing."""

    url: str
    stack: TinyStack

    def cli(self, *words: str, code: int = 0) -> Any:
        """Run a command and return its JSON."""
        result = CliRunner().invoke(app, [*words, "--json", "--url", self.url])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if result.stdout.strip() else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    folder = tmp_path_factory.mktemp("way")
    async with tiny_stack(folder, num_cases=0, cases=CASES) as stack:
        addresses = {"registry_address": stack.registry.address, "test_runner_address": stack.runner.address}
        with ExitStack() as ending:
            evaluator = ending.enter_context(start_service("evaluator", folder, **addresses))
            addresses["evaluator_address"] = evaluator.address
            feedback = ending.enter_context(start_service("feedback", folder, **addresses))
            addresses["feedback_address"] = feedback.address
            gateway = ending.enter_context(start_service("gateway", folder, port=0, **addresses))
            yield Real(f"http://{gateway.address}", stack)


async def test_a_correction_is_judged_built_into_a_dataset_read_and_edited(real: Real, tmp_path: Path) -> None:
    api = Gateway(real.url)
    body = {"model_version_id": f"{MODEL}@1", "test_suite_version_id": real.stack.suite}
    run = api.post("/test-runs", {**body, "sampling": {"max_new_tokens": 4}}, evaluate=False)["test_run"]
    while len(transcripts := api.get("/transcripts", test_run_id=run["test_run_id"])["transcripts"]) < len(CASES):
        pass
    transcript = transcripts[0]
    case = next(case for case in CASES if case.case_id == transcript["case_id"])
    right = tmp_path / "right.txt"
    right.write_text(PROFILE.reference_answer(case))

    item = real.cli("feedback", "add", transcript["transcript_id"], "--correction", f"@{right}", "--author", "ann")
    assert item["proposal_verdict"]["conforming"] and not item["verdict"]["conforming"]
    real.cli("feedback", "add", transcripts[1]["transcript_id"], "--rating", "1", "--author", "ann")
    refused = ("feedback", "add", transcript["transcript_id"], "--rating", "1", "--case", "another")
    assert real.cli(*refused, code=2) is None
    (differing,) = real.cli("feedback", "list", "--disagrees")
    assert differing["subject"]["transcript_id"] == transcripts[1]["transcript_id"]
    assert real.cli("feedback", "agreement")["num_only_person_good"] == 1

    recipe = ("datasets", "from-feedback", "fixes", "--profile", "roo_xml", "--material", real.stack.suite)
    build = real.cli(*recipe, "--replay", "2")
    assert build["dataset_version_id"] == "fixes@1" and build["num_rows"] == {"correction": 1, "replay": 2}
    (row,) = real.cli("datasets", "rows", "fixes@1", "--reason", "correction")
    assert row["feedback_item_id"] == item["feedback_item_id"]
    assert real.cli("feedback", "list", "--use", "used")[0]["dataset_version_ids"] == ["fixes@1"]
    mix = real.cli("datasets", "show", "fixes")
    assert {part["name"]: part["num_rows"] for part in mix["parts"] if part["respect"] == "reason"} == build["num_rows"]

    edited = tmp_path / "edited.jsonl"
    edited.write_text(json.dumps({**json.loads(row["document"]), "weight": 2}) + "\n")
    replayed = real.cli("datasets", "rows", "fixes@1", "--reason", "replay")[0]["example_id"]
    revised = real.cli("datasets", "revise", "fixes@1", "--edit", str(edited), "--drop", replayed)
    assert (revised["dataset_version_id"], revised["produced_by"]) == ("fixes@2", "revision:fixes@1")
    out = tmp_path / "out.jsonl"
    real.cli("datasets", "export", "fixes@2", "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 2 and next(each for each in rows if each["reason"] == "correction")["weight"] == 2
    assert real.cli("datasets", "validate", str(out))["num_rows"] == 2
    out.write_text(out.read_text() + '{"messages": []}\n')
    faults = real.cli("datasets", "validate", str(out), code=1)
    assert [fault["line"] for fault in faults["faults"]] == [3]

    real.cli("feedback", "withdraw", item["feedback_item_id"], "--reason", "a slip")
    failed = CliRunner().invoke(app, [*recipe, "--url", real.url])
    assert failed.exit_code == 1 and "None of 1 feedback items becomes a row" in failed.output


async def test_an_answer_of_a_chat_is_named_by_its_id(real: Real) -> None:
    async with openai.AsyncOpenAI(base_url=f"{real.url}/v1", api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "Name a colour."}]
        asked: dict[str, Any] = {"model": f"{MODEL}@1", "messages": messages, "max_tokens": 4, "store": True}
        whole = await client.chat.completions.create(**asked, metadata={"session": "s"})
        streamed = [chunk async for chunk in await client.chat.completions.create(**asked, stream=True)]
        for answer_id in (whole.id, streamed[0].id):
            said = {"chat_completion_id": answer_id, "correction": {"answers": [{"content": "Blue."}]}}
            item = (await client.post("/feedback", cast_to=dict, body=said))["feedback_item"]
            assert item["messages"][0]["content"] == "Name a colour." and item["subject"]["model_version_id"]
        with pytest.raises(openai.NotFoundError, match="no stored answer"):
            await client.post("/feedback", cast_to=dict, body={**said, "chat_completion_id": "chatcmpl-x"})
    build = real.cli("datasets", "from-feedback", "chats")
    assert build["num_rows"] == {"correction": 1} and build["num_left_out"] == {"duplicate": 1}


async def test_a_client_is_recorded_by_its_address_and_learnt_from_once_a_person_keeps_it(real: Real) -> None:
    base_url = f"{real.url}/v1/sessions/zoo"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "My key is sk-abcdefghijklmnopqrstu."}]
        asked: dict[str, Any] = {"model": f"{MODEL}@1", "messages": messages, "max_tokens": 4}
        whole = await client.chat.completions.create(**asked)
        streamed = [chunk async for chunk in await client.chat.completions.create(**asked, stream=True)]
        assert whole.choices[0].logprobs is None and all(c.choices[0].logprobs is None for c in streamed if c.choices)
        assert [model.id async for model in client.models.list()]
    answers = real.cli("sessions", "show", "zoo")
    assert [answer["chat_completion_id"] for answer in answers] == [whole.id, streamed[0].id]
    assert all(answer["chat"]["messages"][0]["content"] == "My key is [masked]." for answer in answers)
    assert whole.usage is not None and len(answers[0]["chat"]["token_ids"]) == whole.usage.completion_tokens
    refused = ("feedback", "add", whole.id, "--rating", "1")
    real.cli(*refused, code=1)
    assert real.cli("sessions", "keep", "zoo")["is_kept"]
    assert real.cli(*refused)["subject"]["chat_completion_id"] == whole.id
    assert [session["session_id"] for session in real.cli("sessions", "list")] == ["zoo"]
    real.cli("sessions", "forget", "zoo")
    assert real.cli("sessions", "list") == []
