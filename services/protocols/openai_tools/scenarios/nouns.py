"""What a scenario is: what the person asks, the right answers in order, and the client's surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.protocols.cases import Choice, FreeText
from services.protocols.openai_tools.authoring.draw import Draw
from services.protocols.turn import Answer


@dataclass(frozen=True, slots=True)
class Step:
    """One right call.

    Attributes:
        free_text: arguments that are compared by rule instead of by value.
        choices: arguments that have other right values.
        files: text of each document that the call changes, after the call, where that is compared instead of the texts.
        result: what the call answers, where the case must say it.
        is_lookup: further calls of the function do no harm, whatever their arguments.
    """

    tool: str
    arguments: Mapping[str, object]
    free_text: tuple[FreeText, ...] = ()
    choices: tuple[Choice, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    is_lookup: bool = False


@dataclass(frozen=True, slots=True)
class Closing:
    """The right answer without a call: it must mention `mentions`, and end as a question where it is one."""

    text: str
    mentions: tuple[str, ...] = ()
    is_question: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was drawn for a case, before it is asked for in words.

    Attributes:
        slots: what stands in the wording's slots.
        turns: the right calls, answer by answer; none where only the closing is right.
        closing: the last answer; None where one answer with calls is asked for.
        label: stands for the tool where no call is due.
        offers: functions that are on offer besides those of the right calls.
        withheld: functions that are not on offer.
        files: text by name of the documents that there are.
        todos: current checklist, (status, text) pairs.
        goal_files: text by name of the documents that are another in the end.
        goal_todos: the checklist in the end, if it matters.
        history: answers that the client has dealt with before.
        results: what calls of the history answer, by `session.call_key`.
        denied: functions that the person refuses.
    """

    slots: Mapping[str, object]
    turns: tuple[tuple[Step, ...], ...] = ()
    closing: Closing | None = None
    label: str = ""
    offers: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    todos: tuple[tuple[str, str], ...] = ()
    goal_files: Mapping[str, str | None] = field(default_factory=dict)
    goal_todos: tuple[tuple[str, str], ...] | None = None
    history: tuple[Answer, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    denied: tuple[str, ...] = ()


Build = Callable[[Draw], Draft]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of task within a category: what draws it, and where the stock keeps its wordings."""

    build: Build
    wordings: tuple[str, str]
