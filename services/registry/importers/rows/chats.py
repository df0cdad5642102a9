"""Conversations and preferences as others write them, turned into the form of a dataset's row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from services.protocols.suites.dataset_row import RowError
from services.registry.domain.dataset import DatasetFormat

Document: TypeAlias = dict[str, Any]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}


def format_of(document: Mapping[str, Any]) -> DatasetFormat:
    """Return what a file's rows are, by the first of them.

    Raises:
        RowError: It has none of the names by which they are told.
    """
    if document.get("conversations") is not None:
        return DatasetFormat.CONVERSATIONS
    if {"chosen", "preferred_output"} & document.keys():
        return DatasetFormat.PREFERENCES
    if document.get("messages") is not None:
        return DatasetFormat.ROWS if document.get("example_id") is not None else DatasetFormat.MESSAGES
    names = ", ".join(sorted(map(str, document))[:8]) or "nothing"
    raise RowError(
        f"is of no form that is known, since it holds {names}: name its messages `messages`, `conversations`, or "
        "`prompt`, `chosen` and `rejected`"
    )


def _messages(document: Mapping[str, Any]) -> Document:
    row: Document = {"messages": [*_system(document), *_conversation(document.get("messages"), "messages")]}
    if document.get("rejected") is not None:
        row["rejected"] = _message(only_json(document["rejected"]), "rejected")
    return row


def _conversations(document: Mapping[str, Any]) -> Document:
    turns = only_json(document.get("conversations"))
    if not isinstance(turns, list):
        raise RowError("has no conversations: a list of turns with `from` and `value` is needed")
    messages: list[Document] = _system(document)
    for place, turn in enumerate(turns):
        messages.append(_turn(turn, f"conversations[{place}]", messages))
    return {"messages": messages}


def _preferences(document: Mapping[str, Any]) -> Document:
    names = ("preferred_output", "non_preferred_output") if "preferred_output" in document else ("chosen", "rejected")
    inputs = document.get("input")
    source = inputs if isinstance(inputs, dict) else document
    asked = source.get("messages" if source is inputs else "prompt")
    prompt = [{"role": "user", "content": asked}] if isinstance(asked, str) else _conversation(asked or [], "prompt")
    (before, chosen), (other, rejected) = (_side(document.get(name), name) for name in names)
    if before != other:
        raise RowError(f"has {names[0]} and {names[1]} that answer different prompts")
    if chosen == rejected:
        raise RowError(f"has the same answer as {names[0]} and as {names[1]}")
    # Many files repeat the prompt in both of its answers.
    messages = before if before[: len(prompt)] == prompt else [*prompt, *before]
    return {"messages": [*_system(document), *messages, chosen], "rejected": rejected, "tools": source.get("tools")}


READERS: Mapping[DatasetFormat, Callable[[Mapping[str, Any]], Document]] = MappingProxyType(
    {
        DatasetFormat.ROWS: _messages,
        DatasetFormat.MESSAGES: _messages,
        DatasetFormat.CONVERSATIONS: _conversations,
        DatasetFormat.PREFERENCES: _preferences,
    }
)


def _system(document: Mapping[str, Any]) -> list[Document]:
    text = document.get("system")
    return [{"role": "system", "content": text}] if isinstance(text, str) and text else []


def _conversation(messages: Any, name: str) -> list[Document]:
    listed = only_json(messages)
    if not isinstance(listed, list):
        raise RowError(f"has no {name}: a list of messages is needed")
    return [_message(message, f"{name}[{place}]") for place, message in enumerate(listed)]


def _side(answer: Any, name: str) -> tuple[list[Document], Document]:
    """Return an answer of a preference with the messages before it."""
    value = only_json(answer)
    if isinstance(value, str) and value:
        return [], {"role": "assistant", "content": value}
    messages = _conversation([value] if isinstance(value, dict) else value or [], name)
    if not messages:
        raise RowError(f"has no {name}: the answer is needed, as text or as messages")
    return messages[:-1], messages[-1]


def _message(message: Any, place: str) -> Document:
    """Return a message in OpenAI's form; names that Parquet fills with null are left out."""
    if not isinstance(message, dict):
        raise RowError(f"has in {place} no message: an object with `role` and `content` is needed")
    facts = {name: value for name, value in message.items() if value is not None}
    role = facts.get("role")
    read: Document = {
        "role": _ROLES.get(role, role) if isinstance(role, str) else role,
        "content": _text(facts.get("content"), place),
        **{name: facts[name] for name in ("tool_call_id", "weight") if name in facts},
    }
    single = facts.get("function_call")
    calls = only_json(facts.get("tool_calls")) or ([{"id": "", "function": single}] if single else [])
    if not isinstance(calls, list):
        raise RowError(f"has in {place} tool_calls that are no list")
    return read | ({"tool_calls": [_call(call, place) for call in calls]} if calls else {})


def _turn(turn: Any, place: str, before: Sequence[Document]) -> Document:
    """Return a turn of ShareGPT's form, whose calls and results stand in texts."""
    if not isinstance(turn, dict) or "from" not in turn:
        return _message(turn, place)
    role, value = turn["from"], turn.get("value")
    if role == "function_call":
        calls = only_json(value)
        named = [{"id": f"call_{place}_{n}", "function": call} for n, call in enumerate(_listed(calls))]
        return _message({"role": "assistant", "content": None, "tool_calls": named}, place)
    if not isinstance(role, str) or role not in _ROLES:
        raise RowError(f"has in {place} a turn from {str(role)[:40]!r}: use human, gpt, system, function_call or tool")
    message = _message({"role": role, "content": value}, place)
    calls = before[-1].get("tool_calls") if before else None
    return message | ({"tool_call_id": calls[0]["id"]} if message["role"] == "tool" and calls else {})


def _call(call: Any, place: str) -> Document:
    function = call.get("function") if isinstance(call, dict) else None
    facts = function if isinstance(function, dict) else call
    if not isinstance(facts, dict) or not isinstance(facts.get("name"), str):
        raise RowError(f"has in {place} a call without a name")
    arguments = {} if facts.get("arguments") is None else facts["arguments"]
    if isinstance(arguments, dict):
        arguments = _arguments({name: value for name, value in arguments.items() if value is not None}, place)
    if not isinstance(arguments, str):
        raise RowError(f"has in {place} a call with no arguments: an object, or its JSON text, is needed")
    return {"id": str(call.get("id") or ""), "function": {"name": facts["name"], "arguments": arguments}}


def _arguments(values: Document, place: str) -> str:
    try:
        return json.dumps(values, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"has in {place} a call whose arguments JSON cannot hold: {error}") from error


def _text(content: Any, place: str) -> Any:
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else part
            raise RowError(f"has in {place} a part of the type {str(kind)[:40]!r}, where only text can be trained")
    return "".join(part["text"] for part in content)


def tools_of(value: Any) -> Any:
    """Return function definitions in OpenAI's form, from a list of them or of bare functions, or from JSON text."""
    tools = only_json(value)
    if not isinstance(tools, list):
        return tools or None
    definitions = [only_json(tool) for tool in tools]
    return [{"type": "function", "function": each} if _is_bare(each) else each for each in definitions] or None


def _is_bare(tool: Any) -> bool:
    return isinstance(tool, dict) and "function" not in tool and "name" in tool


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def only_json(value: Any) -> Any:
    """Return what a text of JSON holds, where a column of Parquet keeps lists or objects so; else the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
