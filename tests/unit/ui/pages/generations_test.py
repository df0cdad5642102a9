"""Trying a case by hand: the client replies as it does in a run, and native calls become text that it reads."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from drillyard.evaluator.v1.verdict_pb2 import JudgeRequest, JudgeResponse, Verdict
from drillyard.test_runner.v1.test_run_pb2 import Sampling
from drillyard.test_runner.v1.transcript_pb2 import FinishReason, GenerateRequest, GenerateResponse, Message, ToolCall

from services.protocols.profile import get_profile
from ui.playground import actions as generations
from ui.playground.actions import CaseAtWork, Conversation, Subject


def _case(*answers: str) -> CaseAtWork:
    line = get_profile("roo_xml").suites()[0].text.splitlines()[0]
    return CaseAtWork("roo_xml/core@1", json.loads(line)["case_id"], "compact", line, answers)


def test_a_case_opens_as_a_run_opens_it() -> None:
    asked = _case().conversation()
    assert [one.role for one in asked.messages] == ["system", "user"]
    assert asked.stop == ""


def test_the_client_replies_to_an_answer_that_it_cannot_use() -> None:
    asked = _case("no call at all").conversation()
    assert [one.role for one in asked.messages][-2:] == ["assistant", "user"] or asked.stop


class _Runner:
    async def Generate(self, request: GenerateRequest, **options: float) -> AsyncIterator[GenerateResponse]:
        assert request.messages[0].content == "hi"
        assert options["timeout"] > 60
        yield GenerateResponse(text_delta="I ")
        yield GenerateResponse(text_delta="look.")
        call = ToolCall(name="read_file", arguments='{"path": "ä"}')
        yield GenerateResponse(tool_calls=[call], finish_reason=FinishReason.FINISH_REASON_STOP)


async def test_native_calls_stand_at_the_end_of_the_text_in_a_form_that_every_profile_reads() -> None:
    clients: Any = SimpleNamespace(test_runner=_Runner())
    asked = Conversation((Message(role="user", content="hi"),))
    texts = [text async for text, _ in generations.answer(clients, Subject("m@1"), asked, sampling=Sampling(), seed=1)]
    assert texts[:2] == ["I ", "I look."]
    (call,) = get_profile("roo_native").read_answer(texts[-1]).calls
    assert (call.name, json.loads(call.arguments)) == ("read_file", {"path": "ä"})


class _Evaluator:
    def __init__(self) -> None:
        self.asked: list[JudgeRequest] = []

    async def Judge(self, request: JudgeRequest) -> JudgeResponse:
        self.asked.append(request)
        return JudgeResponse(verdict=Verdict(cause="no_call", scores={"form": 0.5}))


async def test_all_answers_of_a_case_are_judged_together() -> None:
    evaluator = _Evaluator()
    clients: Any = SimpleNamespace(evaluator=evaluator)
    view = await generations.judge_case(clients, _case("one", "two"), is_cut=True)
    (asked,) = evaluator.asked
    assert (asked.profile_id, asked.answer, list(asked.further_answers)) == ("roo_xml", "one", ["two"])
    assert asked.finish_reason == "length"
    assert view.scores == (("form", 0.5),)
    assert view.answer.before == "two"
