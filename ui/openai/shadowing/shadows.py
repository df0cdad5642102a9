"""Copies of requests that a candidate answers unseen: after the client's answer, bounded, and kept beside it."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from drillyard.evaluator.v1.evaluation_pb2 import GetEvaluationRequest
from drillyard.evaluator.v1.verdict_pb2 import JudgeRequest
from drillyard.test_runner.v1.transcript_pb2 import FINISH_REASON_LENGTH, GenerateRequest, Message
from fastapi import Request

from services.chassis.errors import ServiceError
from services.chassis.telemetry import Telemetry
from ui.evaluations.actions import judge_batch
from ui.gateway.clients import Clients
from ui.openai.errors import OpenAIError
from ui.openai.generation import Generation, OnEnd, Whole, call_documents
from ui.openai.served import Target
from ui.openai.shadowing.answers import ShadowAnswers

_AT_ONCE = 8
_SECONDS = 300.0
_CALLER = "shadow"
_FUNCTIONS = "openai_tools"
_OUTCOMES = ("same", "different", "failed", "dropped")
_log = structlog.get_logger()


class Shadows:
    """Asks the shadows of aliases; no client waits for one, and what is too much is dropped and counted.

    Attributes:
        pairs: The answers, beside those that clients got.
    """

    def __init__(self, telemetry: Telemetry, pairs: ShadowAnswers) -> None:
        self.pairs = pairs
        self._answers = telemetry.counter(
            "drillyard_shadow_answers", "Answers of shadows, beside those that clients got.", ("outcome",)
        )
        for outcome in _OUTCOMES:
            self._answers.labels(outcome)
        self._tasks: set[asyncio.Task[None]] = set()

    def after(self, clients: Clients, target: Target, request: GenerateRequest) -> OnEnd | None:
        """Return what begins the copy of a request once its answer has ended; None where there is no shadow."""
        if not target.shadow_model_version_id:
            return None
        copy = GenerateRequest()
        copy.CopyFrom(request)
        copy.ClearField("endpoint")
        copy.model_version_id = target.shadow_model_version_id

        def begin(answer: Whole) -> None:
            if len(self._tasks) >= _AT_ONCE:
                self._answers.labels("dropped").inc()
                return
            task = asyncio.create_task(self._ask(clients, target, copy, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return begin

    async def _ask(self, clients: Clients, target: Target, copy: GenerateRequest, answer: Whole) -> None:
        since, facts, answers = time.monotonic(), dict[str, Any](), dict[str, Any]()
        try:
            async with asyncio.timeout(_SECONDS):
                shadow = await (await Generation.begin(clients, copy, _CALLER)).whole()
        except (ServiceError, OpenAIError, TimeoutError) as error:
            outcome, facts["reason"] = "failed", type(error).__name__
        else:
            facts["has_same_calls"] = _calls(shadow) == _calls(answer)
            facts["num_tokens"] = shadow.last.num_generated_tokens
            facts["num_tokens_seen"] = answer.last.num_generated_tokens
            outcome = "same" if facts["has_same_calls"] and shadow.text == answer.text else "different"
            answers = {"answer": answer.to_chat(), "shadow_answer": shadow.to_chat()}
            answers |= await verdicts_of(clients, target, copy, (answer, shadow))
            facts |= {f"{name}_conforms": given["conforming"] for name, given in answers.items() if "verdict" in name}
        self._answers.labels(outcome).inc()
        facts |= {
            "alias_id": target.alias_id,
            "model_version_id": target.version.model_version_id,
            "shadow_model_version_id": target.shadow_model_version_id,
            "outcome": outcome,
            "seconds": round(time.monotonic() - since, 3),
        }
        _log.info("shadow_answered", **facts)
        if answers:
            await self._keep(copy, facts, answers)

    async def _keep(self, copy: GenerateRequest, facts: dict[str, Any], answers: dict[str, Any]) -> None:
        time_text = datetime.now(UTC).isoformat(timespec="seconds")
        prompt = {"messages": list(map(_chat, copy.messages)), "tools": list(map(json.loads, copy.tools))}
        try:
            await self.pairs.keep(facts["alias_id"], {"time": time_text, **facts, **prompt, **answers})
        except OSError as error:
            _log.warning("shadow_answer_not_kept", reason=str(error))


async def verdicts_of(
    clients: Clients, target: Target, request: GenerateRequest, answers: tuple[Whole, Whole]
) -> dict[str, Any]:
    """Return verdicts on the form of the client's answer and of the shadow's; none where no protocol can judge them."""
    profile_id = await _profile_of(clients, target, request)
    asked = [
        JudgeRequest(
            profile_id=profile_id,
            tools=request.tools,
            messages=[Message(role="assistant", content=answer.text, tool_calls=answer.tool_calls)],
            finish_reason="length" if answer.last.finish_reason == FINISH_REASON_LENGTH else "stop",
        )
        for answer in answers
    ]
    try:
        results = (await judge_batch(clients, asked)).results if profile_id else []
    except ServiceError as error:
        _log.warning("shadow_answer_not_judged", reason=type(error).__name__)
        return {}
    if not results or any(result.problem for result in results):
        return {}
    names = ("verdict", "shadow_verdict")
    return {
        name: {"conforming": given.verdict.conforming, "cause": given.verdict.cause, "sentence": given.verdict.sentence}
        for name, given in zip(names, results, strict=True)
    }


async def _profile_of(clients: Clients, target: Target, request: GenerateRequest) -> str:
    """Return the protocol by which the alias got its version, else that of functions where the client sent some."""
    for evaluation_id in target.evaluation_ids[:1]:
        try:
            found = await clients.evaluator.GetEvaluation(GetEvaluationRequest(evaluation_id=evaluation_id))
        except ServiceError:
            break
        return str(found.evaluation.profile_id)
    return _FUNCTIONS if request.tools else ""


def shadows_of(request: Request) -> Shadows:
    """Return what the application keeps."""
    shadows: Shadows = request.app.state.shadows
    return shadows


def _chat(message: Message) -> dict[str, Any]:
    """Return a message in OpenAI's form."""
    chat: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        chat["tool_calls"] = call_documents(message.tool_calls)
    return chat | ({"tool_call_id": message.tool_call_id} if message.tool_call_id else {})


def _calls(answer: Whole) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in answer.tool_calls]
