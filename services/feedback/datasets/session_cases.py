"""Answers of recorded sessions as cases: what the client sent, and what the right answer would have been."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.feedback.domain.item import ChatMessage
from services.feedback.domain.item_spec import Chat
from services.protocols.cases import Case, CaseError, Expected, Scoring
from services.protocols.profile import get_profile
from services.protocols.session.memory import call_key
from services.protocols.turn import Answer, ToolCall

FUNCTIONS, TEXT = "openai_tools", "text"
_CATEGORY = "recorded"
_NO_CALL = "no_call"


def profile_of_chat(chat: Chat) -> str:
    """Return the profile of a case: that of functions where the client sent some, else that of plain text."""
    return FUNCTIONS if chat.tools else TEXT


def case_of_chat(case_id: str, chat: Chat, right_answer: ChatMessage, scoring: Scoring) -> Case:
    """Return the case that an answer of a session failed at.

    The person's last message is the task. What came before it is read as it was; answers since then are the case's
    history, and what the client said to their calls is what it says again.

    Args:
        case_id: The answer's id.
        chat: The conversation, whose last message is the answer.
        right_answer: What it should have been.
        scoring: How a text is compared with the right one; its targets are filled in.

    Raises:
        CaseError: There can be no such case; the sentence says why.
    """
    *before, _ = chat.messages
    place = max((place for place, message in enumerate(before) if message["role"] == "user"), default=-1)
    if place < 0:
        raise CaseError("messages", "nobody asked anything")
    prompt, task, since = before[:place], before[place]["content"], before[place + 1 :]
    case = _of_functions(chat, right_answer, since) if chat.tools else _of_text(right_answer, scoring, since)
    made = Case(
        case_id=case_id,
        category=_CATEGORY,
        mode="",
        task=task,
        template=case_id,
        prompt=tuple(map(_plain_message, prompt)),
        **case,
    )
    get_profile(profile_of_chat(chat)).check_case(made)
    return made


def _of_text(right_answer: ChatMessage, scoring: Scoring, since: Sequence[ChatMessage]) -> dict[str, Any]:
    if since:
        raise CaseError("messages", "answers stand behind the last question, and the client sent no functions")
    text = right_answer["content"]
    if not text.strip():
        raise CaseError("right_answer", "is blank")
    return {
        "tool": TEXT,
        "expected": Expected(TEXT, no_call=True),
        "reference": text,
        "scoring": Scoring(scoring.scorer, (text,), scoring.threshold),
    }


def _of_functions(chat: Chat, right_answer: ChatMessage, since: Sequence[ChatMessage]) -> dict[str, Any]:
    right = _answer(right_answer)
    due = [Expected(call.name, _arguments(call.arguments)) for call in right.calls]
    expected = replace(due[0], further=tuple(due[1:])) if due else Expected(_NO_CALL, no_call=True)
    history = tuple(_answer(message) for message in since if message["role"] == "assistant")
    return {
        "tool": expected.tool,
        "expected": expected,
        "reference": get_profile(FUNCTIONS).as_written(right, "compact").text,
        "tools": tuple(json.loads(text) for text in chat.tools),
        "history": history,
        "results": _results(history, since),
    }


def _results(history: Sequence[Answer], since: Sequence[ChatMessage]) -> dict[str, str]:
    calls = {call.call_id: call for answer in history for call in answer.calls}
    results: dict[str, str] = {}
    for message in since:
        call = calls.get(message.get("tool_call_id", "")) if message["role"] == "tool" else None
        if call is None:
            continue
        key = call_key(call.name, _arguments(call.arguments))
        if results.setdefault(key, message["content"]) != message["content"]:
            raise CaseError("messages", f"the client answered one call of {call.name} in two ways, a case in one")
    return results


def _answer(message: ChatMessage) -> Answer:
    calls = tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"], call.get("id", ""))
        for call in message.get("tool_calls") or ()
    )
    return Answer(message["content"] or "", calls)


def _arguments(text: str) -> dict[str, object]:
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise CaseError("tool_calls", f"arguments are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise CaseError("tool_calls", "arguments are no JSON object")
    return arguments


def _plain_message(message: ChatMessage) -> tuple[str, str]:
    """Return a message of earlier in the conversation as a role that any prompt has, and its text."""
    role, content = message["role"], message["content"] or ""
    if role == "tool":
        return "user", f"Result of the call:\n{content}"
    if role == "assistant":
        return role, get_profile(FUNCTIONS).as_written(_answer(message), "compact").text
    return "system" if role == "developer" else role, content
