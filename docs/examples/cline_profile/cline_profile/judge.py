"""The verdict on one answer: the form, then the client's own word, then the task."""

from __future__ import annotations

from collections.abc import Iterator

from cline_profile.parse import Call, parse
from cline_profile.tools import TOOLS
from cline_profile.turn import Refusal, run
from services.protocols.cases import Case
from services.protocols.session import state_of
from services.protocols.turn import Answer, ClientState
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, Verdict, fault_of_code, passed, verdict_of

_BY_EFFECT = ("content", "diff")


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the first answer to `case`."""
    calls = parse(answer.text)
    if not calls:
        empty = not answer.text.strip()
        fault = (Fault.EMPTY_ANSWER, "The answer is empty.") if empty else (Fault.NO_CALL, "The answer has no call.")
        return verdict_of((Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, *fault),), accepted=False, tool=None)
    call, state = calls[0], state_of(case)
    refused = _refusal(state, call)
    found = {layer.name: layer for layer in (*_form(call, calls, answer), *_task(case, call, state), *refused)}
    layers = (found.get(name) or passed(name) for name in _asked(case, call))
    return verdict_of(tuple(layers), accepted=not refused, tool=call.name)


def _refusal(state: ClientState, call: Call) -> list[Layer]:
    try:
        run(state, call)
    except Refusal as refusal:
        meaning = fault_of_code(refusal.code)
        assert meaning is not None
        return [Layer(meaning[0], LayerStatus.FAILED, meaning[1], f"{refusal}.", (call.start, call.end))]
    return []


def _asked(case: Case, call: Call) -> Iterator[LayerName]:
    is_right = call.name == case.expected.tool
    for name in LayerName:
        if name in (LayerName.TASK_DONE, LayerName.NO_NEEDLESS_CALL):
            continue
        if name is LayerName.RIGHT_ARGUMENTS and not is_right:
            continue
        if name is LayerName.EFFECT and not (is_right and case.expected.files):
            continue
        yield name


def _form(call: Call, calls: list[Call], answer: Answer) -> Iterator[Layer]:
    span = (call.start, call.end)
    if call.is_open:
        fault = Fault.CUT_OFF if answer.finish_reason == "length" else Fault.UNCLOSED
        yield Layer(LayerName.PARSES, LayerStatus.FAILED, fault, f"The call of {call.name} is not closed.", span)
    foreign = [name for name in call.params if name not in TOOLS[call.name].parameters]
    if foreign:
        sentence = f"{foreign[0]} is no parameter of {call.name}."
        yield Layer(LayerName.PARSES, LayerStatus.FAILED, Fault.FOREIGN_PARAMETER, sentence, span)
    if len(calls) > 1:
        second = (calls[1].start, calls[1].end)
        yield Layer(LayerName.ONE_AND_LAST, LayerStatus.FAILED, Fault.SEVERAL_CALLS, "A second call follows.", second)
    elif answer.text[call.end :].strip():
        rest = (call.end, len(answer.text))
        yield Layer(LayerName.ONE_AND_LAST, LayerStatus.FAILED, Fault.TEXT_AFTER, "Text follows the call.", rest)


def _task(case: Case, call: Call, state: ClientState) -> Iterator[Layer]:
    expected, span = case.expected, (call.start, call.end)
    if call.name != expected.tool:
        sentence = f"The task asks for {expected.tool}, not {call.name}."
        yield Layer(LayerName.RIGHT_TOOL, LayerStatus.FAILED, Fault.WRONG_TOOL, sentence, span)
        return
    free = {rule.argument: rule for rule in expected.free_text}
    asked = [name for name in dict.fromkeys((*expected.arguments, *call.params)) if name not in _BY_EFFECT]
    wrong = [
        name
        for name in asked
        if (
            free[name].problem(call.params.get(name))
            if name in free
            else call.params.get(name) != expected.arguments.get(name)
        )
    ]
    if wrong:
        share = (len(asked) - len(wrong)) / len(asked)
        sentence = f"{wrong[0]} is not what the task asks for."
        yield Layer(LayerName.RIGHT_ARGUMENTS, LayerStatus.FAILED, Fault.WRONG_ARGUMENTS, sentence, span, share)
    if any(state.files.get(path, "").rstrip("\n") != text.rstrip("\n") for path, text in expected.files.items()):
        sentence = "The file does not become what the task asks for."
        yield Layer(LayerName.EFFECT, LayerStatus.FAILED, Fault.WRONG_RESULT, sentence, span)
