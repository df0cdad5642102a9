"""The verdict on one answer: the form of every call, then the calls against those that are due."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.protocols.cases import Case, Expected
from services.protocols.judging.call_checks import (
    CalledAnswer,
    CheckedCall,
    form_check,
    match_calls,
    needless,
    right_arguments,
    right_tool,
)
from services.protocols.judging.layers import (
    NOT_ASKED,
    NOTHING,
    Check,
    Finding,
    Flaw,
    flaw_of_codes,
    judge_absence,
    judge_silence,
    layers_of,
    passes,
    same_text,
)
from services.protocols.roo.comparison import argument_problem
from services.protocols.roo_native.definitions import server_functions
from services.protocols.roo_native.form import FORM, check_calls
from services.protocols.roo_native.parse.text_form import text_outside_calls
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools import ALIASES, TOOLS
from services.protocols.roo_native.turn import take_turn
from services.protocols.session import state_of
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import OPEN
from services.protocols.turn import Answer, CallOutcome
from services.protocols.verdict import Fault, LayerName, Verdict, verdict_of

_COMPLETION, _SUBTASK = "attempt_completion", "new_task"
_GOES_WITH_COMPLETION = frozenset((_COMPLETION, "update_todo_list"))
_FUNCTIONS = (*TOOLS, *ALIASES, "fetch_instructions")
_MARKUP = re.compile(rf"</?\s*(?:{'|'.join(_FUNCTIONS)})(?:[\s/][^<>]*)?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Turn(CalledAnswer):
    """What the checks take. Attributes: files are the workspace's after the turn."""

    outcomes: Sequence[CallOutcome]
    files: Mapping[str, str]


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the first answer to `case`; a span is a place in the text that the answer was read from."""
    if not answer.calls:
        return _judge_text(case, answer)
    state = state_of(case)
    calls = check_calls(case, answer.calls, state)
    outcome = take_turn(state, answer)
    due = () if case.expected.no_call else case.expected.due
    turn = _Turn(case, answer, calls, match_calls(due, calls, _compare), outcome.calls, state.files)
    accepted = all(call.verdict == "accepted" for call in outcome.calls)
    checks = _SILENCE if case.expected.no_call else _CHECKS
    return verdict_of(layers_of(checks, turn), accepted=accepted, tool=calls[0].tool)


def _judge_text(case: Case, answer: Answer) -> Verdict:
    text, start, is_cut = answer.text, answer_start(answer.text), answer.finish_reason == "length"
    functions = (*_FUNCTIONS, *server_functions(case.mcp))
    if case.expected.no_call:
        return judge_silence(case, text, start, partial(_attempt, functions=functions))
    return judge_absence(text, start, partial(_attempt, functions=functions, is_cut=is_cut), is_cut=is_cut)


def _attempt(text: str, functions: Collection[str], *, is_cut: bool = False) -> Flaw | None:
    if tag := _MARKUP.search(text):
        sentence = f"The tag {_shown(tag)} is only text here; calls are not written as XML."
        return Flaw(Fault.BAD_TAG, sentence, tag.span())
    opening = text.rfind("<")
    if is_cut and opening >= 0 and OPEN.startswith(text[opening:]):
        return Flaw(Fault.CUT_OFF, "The token limit cut the answer before the call.", (opening, len(text)))
    if call := foreign_form(text, functions):
        sentence = f"The answer writes a call into its text ({_shown(call)}), where the client sees none."
        return Flaw(Fault.FOREIGN_FORM, sentence, call.span())
    return None


def _shown(match: re.Match[str]) -> str:
    return match[0] if len(match[0]) <= 40 else f"{match[0][:37]}..."


def _parses(turn: _Turn) -> Finding:
    if tag := _MARKUP.search(text_outside_calls(turn.answer)):
        return Flaw(Fault.STRAY_TEXT, "The text holds XML tags of a tool, which are no call.", tag.span())
    return _READABLE(turn)


_READABLE = form_check(LayerName.PARSES, FORM)


def _together(turn: _Turn) -> Finding:
    calls, tools = turn.answer.calls, [call.tool for call in turn.calls]
    if _SUBTASK in tools[:-1]:
        dropped = calls[tools.index(_SUBTASK) + 1]
        sentence = f"new_task must be the last call; {dropped.name[:64]} behind it is dropped."
        return Flaw(Fault.AFTER_NEW_TASK, sentence, dropped.span)
    if _COMPLETION in tools and (tools[-1] != _COMPLETION or not _GOES_WITH_COMPLETION.issuperset(tools)):
        sentence = "attempt_completion stands beside work whose outcome is not known yet."
        return Flaw(Fault.SEVERAL_CALLS, sentence, calls[tools.index(_COMPLETION)].span)
    keys = [(tool, call.arguments) for tool, call in zip(tools, calls, strict=True)]
    second = next((place for place, key in enumerate(keys) if key in keys[:place]), None)
    if second is None:
        return None
    return Flaw(Fault.SEVERAL_CALLS, f"The same call of {calls[second].name} stands twice.", calls[second].span)


def _compare(expected: Expected, call: CheckedCall) -> Flaw | None:
    problem = argument_problem(expected, call.arguments, TOOLS[expected.tool].arguments, _is_same, needs_files=True)
    return Flaw(*problem) if problem else None


def _is_same(one: object, other: object) -> bool:
    # True and 1 are equal in Python, and not in JSON.
    return one == other and write_json(one, sort_keys=True) == write_json(other, sort_keys=True)


def _effect(turn: _Turn) -> Finding:
    if not any(due.files for due in turn.case.expected.due):
        return NOT_ASKED
    for match in turn.matches:
        outcome, span = turn.outcomes[match.place or 0], turn.calls[match.place or 0].span
        is_partial = outcome.is_partial or "some_parts_failed" in outcome.codes
        if match.due.files and (outcome.verdict != "accepted" or is_partial):
            codes = outcome.codes or ("some_parts_failed",)
            return flaw_of_codes(codes, f"{outcome.tool} fails ({', '.join(codes)}).", span)
        for path, text in match.due.files.items():
            if not same_text(turn.files.get(path, ""), text):
                return Flaw(Fault.WRONG_RESULT, f"{path} does not become what the task asks for.", span)
    return None


_TOOL = frozenset((LayerName.RIGHT_TOOL,))

_CHECKS: tuple[Check[_Turn], ...] = (
    (LayerName.CALL_PRESENT, NOTHING, passes),
    (LayerName.PARSES, NOTHING, _parses),
    (LayerName.ONE_AND_LAST, NOTHING, _together),
    *((name, NOTHING, form_check(name, FORM)) for name in FORM[1:]),
    (LayerName.RIGHT_TOOL, NOTHING, right_tool),
    (LayerName.RIGHT_ARGUMENTS, _TOOL, right_arguments),
    (LayerName.EFFECT, frozenset((LayerName.RIGHT_ARGUMENTS,)), _effect),
    (LayerName.NO_NEEDLESS_CALL, _TOOL, needless),
)
_SILENCE: tuple[Check[_Turn], ...] = ((LayerName.NO_NEEDLESS_CALL, NOTHING, needless),)
