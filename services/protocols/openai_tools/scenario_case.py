"""The scenarios that cases are drawn from, and from a scenario to a case of this protocol."""

from collections.abc import Sequence
from dataclasses import replace

from services.protocols.cases import Case, Expected, FreeText, Goal
from services.protocols.material.catalogue import SINGLE_CALL, Catalogue
from services.protocols.material.scenario import Draft, Scenario, Step
from services.protocols.openai_tools.parse import written_call
from services.protocols.openai_tools.scenarios.calls import SINGLE_CALLS
from services.protocols.openai_tools.scenarios.edits import EDIT_BY_DIFF, WHOLE_FILE
from services.protocols.openai_tools.scenarios.functions import EFFECTS, FUNCTIONS, NOTHING_FOUND
from services.protocols.openai_tools.scenarios.limits import LIMITS
from services.protocols.openai_tools.scenarios.long_context import LONG_CONTEXT
from services.protocols.openai_tools.scenarios.odd_text import ODD_TEXT
from services.protocols.openai_tools.scenarios.recovery import RECOVERY
from services.protocols.openai_tools.scenarios.talk import ASK_WHEN_UNCLEAR, COMPLETION, NO_CALL_DUE
from services.protocols.openai_tools.scenarios.tasks import EXACT_ARGUMENTS, SEVERAL_CALLS, TOOL_CHOICE
from services.protocols.openai_tools.scenarios.texts import answer_of, results_of
from services.protocols.openai_tools.scenarios.turns import SEARCH_READ_EDIT, TODO_TURNS
from services.protocols.turn import Answer

CATALOGUE = Catalogue(
    f"{__package__}.scenarios",
    {
        SINGLE_CALL: SINGLE_CALLS,
        "tool_choice": TOOL_CHOICE,
        "exact_arguments": EXACT_ARGUMENTS,
        "several_calls": SEVERAL_CALLS,
        "edit_by_diff": EDIT_BY_DIFF,
        "whole_file": WHOLE_FILE,
        "search_read_edit": SEARCH_READ_EDIT,
        "limits": LIMITS,
        "ask_when_unclear": ASK_WHEN_UNCLEAR,
        "completion": COMPLETION,
        "recovery": RECOVERY,
        "no_call_due": NO_CALL_DUE,
        "long_context": LONG_CONTEXT,
        "odd_text": ODD_TEXT,
        "todo_turns": TODO_TURNS,
    },
    closed_tools=frozenset(("ask_user",)),
    names_slots=True,
)


_NUM_OFFERED = 6
_SPARE_TURNS = 2


def case_of(scenario: Scenario) -> Case:
    """Return the case that `scenario` amounts to."""
    draft = scenario.draft
    offered = _offered(scenario)
    solution = [answer_of(turn) for turn in draft.turns]
    if draft.closing:
        solution.append(Answer(draft.closing.text))
        reference = draft.closing.text
    if draft.turns:
        reference = "\n".join(written_call(step.tool, step.arguments) for step in draft.turns[0])
    is_task = len(solution) > 1
    case = scenario.to_case(
        _expected(draft),
        reference,
        history=[said for said in draft.history if isinstance(said, Answer)],
        solution=solution if is_task else (),
        spare_turns=_SPARE_TURNS,
    )
    missing = {name: text for name, text in NOTHING_FOUND.items() if name in offered}
    return replace(
        case,
        mode="",
        goal=_goal(draft) if is_task else None,
        tools=tuple(FUNCTIONS[name] for name in offered),
        results={**missing, **draft.results, **results_of(draft.steps)},
        effects={name: EFFECTS[name] for name in offered if name in EFFECTS},
    )


def _due(step: Step, *further: Step) -> Expected:
    rest = tuple(map(_due, further))
    return Expected(step.tool, step.arguments, step.files, step.free_text, step.choices, further=rest)


def _expected(draft: Draft) -> Expected:
    if draft.turns:
        return _due(*draft.turns[0])
    assert draft.closing
    rule = FreeText("answer", draft.closing.mentions, draft.closing.is_question)
    return Expected(draft.label, free_text=(rule,), no_call=True)


def _goal(draft: Draft) -> Goal:
    by_result = [step for step in draft.steps if step.is_lookup or step.tool in EFFECTS]
    return replace(
        draft.goal or Goal(),
        mentions=draft.closing.mentions if draft.closing else (),
        tools=tuple(dict.fromkeys(step.tool for step in by_result)),
        calls=tuple(_due(step) for step in draft.steps if step not in by_result),
    )


def _offered(scenario: Scenario) -> Sequence[str]:
    draft = scenario.draft
    needed = list(dict.fromkeys((*(step.tool for step in draft.steps), *draft.offers)))
    others = [name for name in FUNCTIONS if name not in needed and name not in draft.withheld]
    offered = [*needed, *scenario.random.sample(others, max(1, _NUM_OFFERED - len(needed)))]
    scenario.random.shuffle(offered)
    return offered
