"""The conversations by which a form is compared with the version that it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.feedback.datasets.examples import examples_of
from services.protocols.cases import Case
from services.protocols.profile import Profile

_Message = Mapping[str, Any]
_NUM_DRAWN = 26
_NUM_HISTORIES = 2


@dataclass(frozen=True)
class GateRow:
    """A conversation up to where the model answers, the functions beside it, and a right answer where one is known.

    Messages and functions are in OpenAI's form.
    """

    name: str
    messages: tuple[_Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    answer: _Message | None = None

    @property
    def has_system(self) -> bool:
        """Whether the conversation has a system message of its own."""
        return any(message["role"] in ("system", "developer") for message in self.messages)

    @property
    def has_history(self) -> bool:
        """Whether answers were given before."""
        return any(message["role"] == "assistant" for message in self.messages)

    @property
    def function_words(self) -> tuple[str, ...]:
        """Names of the functions that are offered or were called."""
        offered = [str(tool["function"]["name"]) for tool in self.tools]
        called = [
            str(call["function"]["name"]) for message in self.messages for call in message.get("tool_calls") or ()
        ]
        return tuple(dict.fromkeys([*offered, *called]))


def gate_rows(profile: Profile, cases: Sequence[Case], prompt_size: str, count: int) -> list[GateRow]:
    """Return `count` rows spread over the cases, openings and late turns in turn, and one without a system message.

    Where the cases are fewer, the profile's material adds what is missing, if it has any. A late turn has the history
    of right answers and the client's replies that training has there; where no row has one, two of the material stand
    in.
    """
    num_cases = min(count, len(cases))
    chosen = [cases[place * len(cases) // num_cases] for place in range(num_cases)]
    if num_cases < count and profile.categories:
        chosen += profile.draw(0, count - num_cases, stock="suite")
    rows = [_row(profile, case, prompt_size, late=place % 2 == 1) for place, case in enumerate(chosen)]
    if not any(row.has_history for row in rows):
        rows += [_row(profile, case, prompt_size, late=True) for case in _cases_of_several_turns(profile)]
    return [*rows, *_without_system(rows)]


def _row(profile: Profile, case: Case, prompt_size: str, *, late: bool) -> GateRow:
    example = examples_of(profile, case, prompt_size)[-1 if late else 0]
    *prompt, answer = map(_unweighted, example.messages if late else example.opening)
    return GateRow(case.case_id, tuple(prompt), example.tools, answer)


def _unweighted(message: _Message) -> _Message:
    plain: dict[str, Any] = json.loads(json.dumps(message, default=dict))
    plain.pop("weight", None)
    return plain


def _cases_of_several_turns(profile: Profile) -> list[Case]:
    drawn = profile.draw(0, _NUM_DRAWN, stock="suite") if profile.categories else []
    return [case for case in drawn if len(case.solution) > 1][:_NUM_HISTORIES]


def _without_system(rows: Sequence[GateRow]) -> list[GateRow]:
    for row in rows:
        rest = tuple(message for message in row.messages if message["role"] not in ("system", "developer"))
        if row.has_system and rest:
            return [GateRow(f"{row.name} without a system message", rest)]
    return []
