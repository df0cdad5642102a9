"""One row of a dataset: written by what builds datasets, checked where they are registered, read where they train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile

SPLITS = ("train", "validation")
MAX_ROW_BYTES = 1024 * 1024
"""The longest line of a dataset that can be registered and trained on."""

_ROLES = ("system", "user", "assistant", "tool")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_ID = 200
# Sums of more would lose the rows of a small weight to rounding.
_MAX_WEIGHT = 10_000


class RowError(ValueError):
    """What is wrong with a row, as the end of a sentence that begins with its line."""


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One training example: a conversation in OpenAI's form whose last message is the answer.

    Training changes the answer, and in a plain conversation every other turn of the assistant too. Of a row with a case
    it changes the answer alone: the turns before it may be the very failure that the answer recovers from. A message
    of the assistant says otherwise by `weight` 1 or 0, as in OpenAI's form.

    Attributes:
        example_id: unique within the dataset.
        tools: function definitions that go beside the messages.
        case: document of the case that the answer solves; None for a plain conversation.
        tool: the tool of the right answer; empty for a plain conversation, as the next two.
        category: kind of task, without its variety.
        cause: the cause of failure that the row treats.
        rejected: an answer that is worse than the last message, for training by preferences; None where there is none.
        weight: how much the row counts in training, compared with a row of 1.
        profile_id: the protocol that the case is of.
        reason: why it is there, such as "correction".
        feedback_item_id: what a person said that it comes from.
        line: where the row stands in its file, from 1; not part of what is written.
    """

    example_id: str
    messages: tuple[Mapping[str, Any], ...]
    split: str = "train"
    tools: tuple[Mapping[str, Any], ...] = ()
    case: Mapping[str, Any] | None = None
    rejected: Mapping[str, Any] | None = None
    tool: str = ""
    category: str = ""
    cause: str = ""
    weight: float = 1.0
    profile_id: str = ""
    reason: str = ""
    feedback_item_id: str = ""
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """Where a person finds the row, as the beginning of a sentence."""
        return f"Line {self.line} of the dataset: Example {self.example_id[:100]}"

    @property
    def trained_turns(self) -> tuple[int, ...]:
        """The places of the messages that are trained; the first message answers nothing, so it is none."""
        last = len(self.messages) - 1
        return tuple(
            place
            for place, message in enumerate(self.messages)
            if place and message["role"] == "assistant" and message.get("weight", self.case is None or place == last)
        )

    @property
    def prompt(self) -> tuple[Mapping[str, Any], ...]:
        """The messages before the first answer that is trained."""
        return self.messages[: next(iter(self.trained_turns), len(self.messages) - 1)]

    @property
    def asked_texts(self) -> tuple[str, ...]:
        """What the row asks, by which it is compared with what suites ask."""
        task = (str(self.case.get("task", "")),) if self.case is not None else ()
        return (*task, *(message["content"] for message in self.messages if message["role"] == "user"))

    def check(self) -> None:
        """Raise RowError when the row has no case of a protocol that this version knows, though it names one."""
        if self.case is None and not self.profile_id:
            return
        try:
            get_profile(self.profile_id)
            case_from_document(self.case)
        except UnknownProfile as error:
            raise RowError("has no profile_id that this version knows") from error
        except CaseError as error:
            raise RowError(f"holds no case: {error}".rstrip(".")) from error

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object; what it lacks is left out."""
        row: dict[str, Any] = {
            "example_id": self.example_id,
            "split": self.split,
            "feedback_item_id": self.feedback_item_id,
            "reason": self.reason,
            "cause": self.cause,
            "tool": self.tool,
            "category": self.category,
            "profile_id": self.profile_id,
            "weight": self.weight if self.weight != 1 else None,
            "messages": list(self.messages),
            "tools": list(self.tools),
            "case": self.case,
            "rejected": self.rejected,
        }
        return {name: value for name, value in row.items() if value not in (None, "", [])}

    @classmethod
    def from_json(cls, row: object, line: int = 0) -> DatasetRow:
        """Return the row that a JSON object holds; only `messages` must be there, names of its own are passed over.

        Raises:
            RowError: a field is missing or wrong; it is named.
        """
        if not isinstance(row, dict):
            raise RowError("is not a JSON object")
        example_id, weight = row.get("example_id", str(line)), row.get("weight", 1.0)
        if not isinstance(example_id, str) or not 0 < len(example_id) <= _MAX_ID or not example_id.isprintable():
            raise RowError(f"has no example_id: 1 to {_MAX_ID} printable characters are needed")
        if row.get("split", "train") not in SPLITS:
            raise RowError(f"has no split: use {' or '.join(SPLITS)}")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 1 / _MAX_WEIGHT <= weight <= _MAX_WEIGHT:
            raise RowError(f"has no weight: a number from {1 / _MAX_WEIGHT:g} to {_MAX_WEIGHT:,} is needed")
        case, profile_id = row.get("case"), row.get("profile_id", "")
        if not isinstance(profile_id, str):
            raise RowError("has no profile_id that this version knows")
        if not isinstance(row.get("feedback_item_id", ""), str):
            raise RowError("has a feedback_item_id that is no text")
        if "case" in row and not isinstance(case, dict):
            raise RowError("holds no case: it must be an object")
        return cls(
            example_id,
            _messages(row.get("messages")),
            rejected=_rejected(row.get("rejected")),
            split=row.get("split", "train"),
            tools=_tools(row.get("tools")),
            case=case,
            **{name: _name(row, name) for name in ("tool", "category", "cause", "reason")},
            feedback_item_id=row.get("feedback_item_id", ""),
            weight=float(weight),
            profile_id=profile_id,
            line=line,
        )


def _name(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if name in row and not (isinstance(value, str) and _NAME.fullmatch(value)):
        raise RowError(f"has no {name}: a lower-case name is needed")
    return str(value)


def _messages(messages: object) -> tuple[dict[str, Any], ...]:
    if not isinstance(messages, list) or len(messages) < 2:
        raise RowError("has no messages: at least a prompt and an answer are needed")
    read = tuple(_message(message, f"messages[{place}]") for place, message in enumerate(messages))
    if read[-1]["role"] != "assistant":
        raise RowError("does not end with a message of the assistant")
    return read


def _rejected(message: object) -> dict[str, Any] | None:
    if message is None:
        return None
    read = _message(message, "rejected")
    if read["role"] != "assistant":
        raise RowError("has a rejected answer that is not a message of the assistant")
    return read


def _message(message: object, place: str) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise RowError(f"has no role in {place}: use {', '.join(_ROLES)}")
    calls, content = message.get("tool_calls") or [], message.get("content")
    # An answer that is nothing but calls may have no text.
    if not isinstance(content, str) and not (calls and content is None and message["role"] == "assistant"):
        raise RowError(f"has no content in {place}")
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        raise RowError(f"has tool_calls in {place} whose name or arguments are no text")
    read: dict[str, Any] = {"role": message["role"], "content": content or ""}
    if calls:
        read["tool_calls"] = [
            {
                "id": str(call.get("id", "")),
                "type": "function",
                "function": {name: call["function"][name] for name in ("name", "arguments")},
            }
            for call in calls
        ]
    if "tool_call_id" in message:
        read["tool_call_id"] = str(message["tool_call_id"])
    if message.get("weight") is not None:
        if message["weight"] not in (0, 1) or message["role"] != "assistant":
            raise RowError(f"has a weight in {place} that is not 0 or 1, or not at a message of the assistant")
        read["weight"] = int(message["weight"])
    return read


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(name), str) for name in ("name", "arguments"))


def _tools(tools: object) -> tuple[Mapping[str, Any], ...]:
    entries = [] if tools is None else tools
    if not isinstance(entries, list) or not all(map(_is_definition, entries)):
        raise RowError("has tools that are no list of function definitions in OpenAI's form")
    return tuple(entries)


def _is_definition(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)
