"""From a draft, asked for in words, to a case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from services.protocols.cases import Case, Expected, FreeText, Goal
from services.protocols.openai_tools.authoring.draw import Draw
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.scenarios.functions import EFFECTS, FUNCTIONS, NOTHING_FOUND
from services.protocols.openai_tools.scenarios.nouns import Draft, Step
from services.protocols.session import call_key
from services.protocols.turn import Answer, ToolCall

_NUM_OFFERED = 6
_SPARE_TURNS = 2


def case_of_draft(draw: Draw, draft: Draft, *, case_id: str, category: str, template: str, task: str) -> Case:
    """Return the case that asks for `draft` in the words of `task`."""
    expected = _expected(draft)
    offered = _offered(draw, draft)
    is_task = len(draft.turns) + bool(draft.closing) > 1
    solution = tuple(_solution(draft)) if is_task else ()
    return Case(
        case_id=case_id,
        category=category,
        tool=expected.tool,
        mode="",
        task=task,
        expected=expected,
        template=template,
        reference=_reference(draft),
        files=draft.files,
        todos=draft.todos,
        max_turns=len(solution) + _SPARE_TURNS if is_task else 1,
        history=draft.history,
        solution=solution,
        goal=_goal(draft) if is_task else None,
        tools=tuple(FUNCTIONS[name] for name in offered),
        results=_results(draft, offered),
        denied_tools=draft.denied,
        effects={name: EFFECTS[name] for name in offered if name in EFFECTS},
    )


def answer_of(steps: Sequence[Step]) -> Answer:
    """Return the answer that makes these calls."""
    return Answer(calls=tuple(ToolCall(one.tool, json.dumps(one.arguments, ensure_ascii=False)) for one in steps))


def results_of(steps: Sequence[Step]) -> dict[str, str]:
    """Return what the calls answer, by call."""
    return {call_key(one.tool, one.arguments): one.result for one in steps if one.result}


def _due(step: Step) -> Expected:
    return Expected(step.tool, step.arguments, step.files, step.free_text, step.choices)


def _expected(draft: Draft) -> Expected:
    if draft.turns:
        first, *further = map(_due, draft.turns[0])
        return Expected(
            first.tool, first.arguments, first.files, first.free_text, first.choices, further=tuple(further)
        )
    assert draft.closing
    rule = FreeText("answer", draft.closing.mentions, draft.closing.is_question)
    return Expected(draft.label, free_text=(rule,), no_call=True)


def _reference(draft: Draft) -> str:
    if draft.turns:
        return "\n".join(written_call(step.tool, step.arguments) for step in draft.turns[0])
    assert draft.closing
    return draft.closing.text


def _solution(draft: Draft) -> Iterator[Answer]:
    yield from map(answer_of, draft.turns)
    if draft.closing:
        yield Answer(draft.closing.text)


def _goal(draft: Draft) -> Goal:
    steps = [step for turn in draft.turns for step in turn]
    by_result = [step for step in steps if step.is_lookup or step.tool in EFFECTS]
    return Goal(
        files=draft.goal_files,
        mentions=draft.closing.mentions if draft.closing else (),
        tools=tuple(dict.fromkeys(step.tool for step in by_result)),
        todos=draft.goal_todos,
        calls=tuple(_due(step) for step in steps if step not in by_result),
    )


def _results(draft: Draft, offered: Sequence[str]) -> dict[str, str]:
    steps = [step for turn in draft.turns for step in turn]
    missing = {name: text for name, text in NOTHING_FOUND.items() if name in offered}
    return {**missing, **draft.results, **results_of(steps)}


def _offered(draw: Draw, draft: Draft) -> list[str]:
    tools = (step.tool for turn in draft.turns for step in turn)
    needed = list(dict.fromkeys((*tools, *draft.offers)))
    others = [name for name in FUNCTIONS if name not in needed and name not in draft.withheld]
    offered = [*needed, *draw.random.sample(others, max(1, _NUM_OFFERED - len(needed)))]
    draw.random.shuffle(offered)
    return offered
