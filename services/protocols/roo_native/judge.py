"""The verdict on one answer: the form of every call, then the calls against those that are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.roo_native.definitions import server_functions
from services.protocols.roo_native.parse.text_form import text_outside_calls
from services.protocols.roo_native.rules.absence import absence_of_call, broken_call, markup_in
from services.protocols.roo_native.rules.comparison import Match, match_calls
from services.protocols.roo_native.rules.form import Finding, Offer, Seen, offer_of, seen
from services.protocols.roo_native.turn import take_turn
from services.protocols.session import state_of
from services.protocols.turn import Answer, CallOutcome, ToolCall
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, Span, Verdict, passed, verdict_of

_PER_CALL = (
    LayerName.PARSES,
    LayerName.KNOWN_TOOL,
    LayerName.OFFERED,
    LayerName.REQUIRED_PARAMETERS,
    LayerName.VALID_VALUES,
)
_COMPLETION, _SUBTASK = "attempt_completion", "new_task"
_GOES_WITH_COMPLETION = frozenset((_COMPLETION, "update_todo_list"))
_Fault = tuple[Fault, str, Span | None]


@dataclass(frozen=True, slots=True)
class _Turn:
    """Attributes: files are the workspace's after the turn."""

    case: Case
    answer: Answer
    calls: Sequence[Seen]
    outcomes: Sequence[CallOutcome]
    files: Mapping[str, str]


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the first answer to `case`; a span is a place in the text that the answer was read from."""
    if case.expected.no_call:
        return _judge_silence(case, answer)
    if not answer.calls:
        return verdict_of((_failed(LayerName.CALL_PRESENT, absence_of_call(answer)),), accepted=False, tool=None)
    state = state_of(case)
    offer: Offer = offer_of(case)
    calls = [seen(call, offer, state) for call in answer.calls]
    outcome = take_turn(state, answer)
    turn = _Turn(case, answer, calls, outcome.calls, state.files)
    accepted = all(call.verdict == "accepted" for call in outcome.calls)
    return verdict_of(tuple(_layers(turn)), accepted=accepted, tool=calls[0].tool)


def _failed(name: LayerName, fault: _Fault, measured: float | None = None) -> Layer:
    return Layer(name, LayerStatus.FAILED, *fault, measured)


def _judge_silence(case: Case, answer: Answer) -> Verdict:
    if answer.calls:
        call = answer.calls[0]
        fault = (Fault.NEEDLESS_CALL, f"No call is due, but {call.name[:64]} is called.", call.span)
        return verdict_of((_failed(LayerName.NO_NEEDLESS_CALL, fault),), accepted=False, tool=call.name)
    if broken := broken_call(answer, server_functions(case.mcp)):
        return verdict_of((_failed(LayerName.CALL_PRESENT, broken),), accepted=False, tool=None)
    return verdict_of((passed(LayerName.NO_NEEDLESS_CALL),), accepted=True, tool=None)


def _layers(turn: _Turn) -> list[Layer]:
    layers = [passed(LayerName.CALL_PRESENT), _parses(turn), _together(turn)]
    layers += [_form(name, turn) for name in _PER_CALL[1:]]
    is_well_formed = all(call.finding is None for call in turn.calls)
    matches = match_calls(turn.case.expected.due, [(call.tool, call.arguments) for call in turn.calls])
    layers.append(_right_tool(turn, matches))
    if layers[-1].status is LayerStatus.PASSED and is_well_formed:
        layers.append(_right_arguments(turn, matches))
        if layers[-1].status is LayerStatus.PASSED and any(due.files for due in turn.case.expected.due):
            layers.append(_effect(turn, matches))
    if all(match.place is not None for match in matches):
        layers.append(_needless(turn, matches))
    return layers


def _parses(turn: _Turn) -> Layer:
    if place := markup_in(text_outside_calls(turn.answer)):
        fault = (Fault.STRAY_TEXT, "The text holds XML tags of a tool, which are no call.", place)
        return _failed(LayerName.PARSES, fault)
    return _form(LayerName.PARSES, turn)


def _form(name: LayerName, turn: _Turn) -> Layer:
    """Return one layer over all calls; a call whose earlier layer failed is not asked."""
    place = _PER_CALL.index(name)
    asked = [call for call in turn.calls if call.finding is None or _PER_CALL.index(call.finding[0]) >= place]
    failed = [(call, call.finding) for call in asked if call.finding and call.finding[0] is name]
    if not asked:
        return Layer(name, LayerStatus.NOT_APPLICABLE)
    if not failed:
        return passed(name)
    call, finding = failed[0]
    return _failed(name, _fault_of(call, finding, turn), 1 - len(failed) / len(asked))


def _fault_of(call: Seen, finding: Finding, turn: _Turn) -> _Fault:
    _, fault, sentence = finding
    if fault is Fault.BAD_JSON and turn.answer.finish_reason == "length" and call is turn.calls[-1]:
        fault, sentence = Fault.CUT_OFF, "The token limit cut the answer within a call."
    return fault, sentence, call.written.span


def _together(turn: _Turn) -> Layer:
    name, tools = LayerName.ONE_AND_LAST, [call.tool for call in turn.calls]
    if _SUBTASK in tools[:-1]:
        dropped = turn.calls[tools.index(_SUBTASK) + 1].written
        sentence = f"new_task must be the last call; {dropped.name[:64]} behind it is dropped."
        return _failed(name, (Fault.AFTER_NEW_TASK, sentence, dropped.span))
    if _COMPLETION in tools and (tools[-1] != _COMPLETION or not _GOES_WITH_COMPLETION.issuperset(tools)):
        place = turn.calls[tools.index(_COMPLETION)].written.span
        sentence = "attempt_completion stands beside work whose outcome is not known yet."
        return _failed(name, (Fault.SEVERAL_CALLS, sentence, place))
    if repeated := _second_of_two(turn.calls):
        return _failed(name, (Fault.SEVERAL_CALLS, f"The same call of {repeated.name} stands twice.", repeated.span))
    return passed(name)


def _second_of_two(calls: Sequence[Seen]) -> ToolCall | None:
    seen_before: set[tuple[str, str]] = set()
    for call in calls:
        key = (call.tool, call.written.arguments)
        if key in seen_before:
            return call.written
        seen_before.add(key)
    return None


def _right_tool(turn: _Turn, matches: Sequence[Match]) -> Layer:
    absent = [match.due for match in matches if match.place is None]
    if not absent:
        return passed(LayerName.RIGHT_TOOL)
    called = turn.calls[0]
    sentence = f"The task asks for {absent[0].tool}, not {called.tool[:64]}."
    if len(absent) < len(matches):
        sentence = f"The task asks for one more call of {absent[0].tool}."
    fault = (Fault.WRONG_TOOL, sentence, called.written.span)
    return _failed(LayerName.RIGHT_TOOL, fault, 1 - len(absent) / len(matches))


def _right_arguments(turn: _Turn, matches: Sequence[Match]) -> Layer:
    wrong = [match for match in matches if match.problem]
    if not wrong or wrong[0].problem is None or wrong[0].place is None:
        return passed(LayerName.RIGHT_ARGUMENTS)
    fault, sentence = wrong[0].problem
    place = turn.calls[wrong[0].place].written.span
    share = 1 - len(wrong) / len(matches)
    return _failed(LayerName.RIGHT_ARGUMENTS, (fault, f"In {wrong[0].due.tool}, {sentence}", place), share)


def _effect(turn: _Turn, matches: Sequence[Match]) -> Layer:
    for match in matches:
        assert match.place is not None
        outcome, span = turn.outcomes[match.place], turn.calls[match.place].written.span
        is_partial = outcome.is_partial or "some_parts_failed" in outcome.codes
        if match.due.files and (outcome.verdict != "accepted" or is_partial):
            sentence = f"{outcome.tool} fails ({', '.join(outcome.codes or ('some_parts_failed',))})."
            return _failed(LayerName.EFFECT, (Fault.DIFF_FAILED, sentence, span))
        for path, text in match.due.files.items():
            if not _same_text(turn.files.get(path, ""), text):
                sentence = f"{path} does not become what the task asks for."
                return _failed(LayerName.EFFECT, (Fault.WRONG_RESULT, sentence, span))
    return passed(LayerName.EFFECT)


def _same_text(one: str, other: str) -> bool:
    return one == other or one.rstrip("\n") == other.rstrip("\n")


def _needless(turn: _Turn, matches: Sequence[Match]) -> Layer:
    due = {match.place for match in matches}
    surplus = [call for place, call in enumerate(turn.calls) if place not in due]
    if not surplus:
        return passed(LayerName.NO_NEEDLESS_CALL)
    call = surplus[0].written
    fault = (Fault.NEEDLESS_CALL, f"The call of {call.name[:64]} is not due.", call.span)
    return _failed(LayerName.NO_NEEDLESS_CALL, fault, 1 - len(surplus) / len(turn.calls))
