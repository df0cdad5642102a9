"""The verdict on one turn: every layer asked in order, and whether the client would run the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.javascript import trim
from services.protocols.roo.modes import find_mode, refusal
from services.protocols.roo_xml.arguments import typed_arguments
from services.protocols.roo_xml.parse import AnswerTooLong, Block, TextBlock, ToolBlock, parse
from services.protocols.roo_xml.rules.absence import absence_of_call
from services.protocols.roo_xml.rules.acceptance import Situation, client_fault, same_path, situation_of
from services.protocols.roo_xml.rules.comparison import argument_problem
from services.protocols.roo_xml.rules.effects import diff_outcome, same_text, written_text
from services.protocols.roo_xml.rules.values import value_problem
from services.protocols.roo_xml.tools import TOOLS
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, Span, Verdict, verdict_of

_Fault = tuple[Fault, str, Span | None]

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_OPEN_TAG = re.compile(r"<([a-z][a-z_]*)>")


@dataclass(frozen=True, slots=True)
class _Turn:
    case: Case
    situation: Situation
    blocks: tuple[Block, ...]
    call: ToolBlock
    cut: bool


def judge(case: Case, answer: str, finish_reason: str = "stop") -> Verdict:
    """Return the verdict on `answer` to `case`.

    Args:
        case: the situation and what is expected.
        answer: the model's text as it came.
        finish_reason: `length` when the token limit ended the answer.
    """
    cut = finish_reason == "length"
    try:
        blocks = parse(_without_reasoning(answer))
    except AnswerTooLong as error:
        return _without_call((Fault.ANSWER_TOO_LONG, f"The client gives up: {error}.", None))
    call = next((block for block in blocks if isinstance(block, ToolBlock)), None)
    if call is None:
        return _without_call(absence_of_call(_without_reasoning(answer), cut=cut))
    turn = _Turn(case, situation_of(case), blocks, call, cut)
    accepted = client_fault(call.name, call.params, turn.situation) is None
    return verdict_of(_layers(turn), accepted=accepted, tool=call.name)


def _without_reasoning(answer: str) -> str:
    """Blank out a `<think>` block at the very start, which the client splits off; places stay what they were."""
    if not answer.startswith(_THINK_OPEN):
        return answer
    end = answer.find(_THINK_CLOSE)
    stop = len(answer) if end < 0 else end + len(_THINK_CLOSE)
    return " " * stop + answer[stop:]


def _without_call(fault: _Fault) -> Verdict:
    first = Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, *fault)
    rest = (Layer(name, LayerStatus.NOT_APPLICABLE) for name in tuple(LayerName)[1:])
    return verdict_of((first, *rest), accepted=False, tool=None)


def _layers(turn: _Turn) -> tuple[Layer, ...]:
    layers: dict[LayerName, Layer] = {}
    for name in LayerName:
        needs = _NEEDS.get(name, ())
        if any(layers[need].status is not LayerStatus.PASSED for need in needs) or not _applies(name, turn):
            layers[name] = Layer(name, LayerStatus.NOT_APPLICABLE)
        elif fault := _CHECKS[name](turn):
            layers[name] = Layer(name, LayerStatus.FAILED, *fault)
        else:
            layers[name] = Layer(name, LayerStatus.PASSED)
    return tuple(layers.values())


def _applies(name: LayerName, turn: _Turn) -> bool:
    return name is not LayerName.EFFECT or bool(turn.case.expected.files)


def _passes(turn: _Turn) -> _Fault | None:
    return None


def _parses(turn: _Turn) -> _Fault | None:
    call = turn.call
    if call.partial:
        if turn.cut:
            return Fault.CUT_OFF, f"The token limit cut the answer before {call.name} was closed.", call.span
        return Fault.UNCLOSED, f"The call of {call.name} is not closed.", call.span
    if call.cut:
        return Fault.VALUE_CUT, f"{call.cut[0]} is longer than 102,400 units, so the client cuts it.", call.span
    if call.repeated:
        return Fault.REPEATED_PARAMETER, f"{call.repeated[0]} is written more than once.", call.span
    foreign = [name for name in call.params if name not in TOOLS[call.name].parameters]
    if foreign:
        return Fault.FOREIGN_PARAMETER, f"{foreign[0]} is no parameter of {call.name} in the prompt.", call.span
    if call.stray:
        return Fault.STRAY_TEXT, f"The call of {call.name} holds text outside its parameters.", call.stray
    return None


def _one_and_last(turn: _Turn) -> _Fault | None:
    place = turn.blocks.index(turn.call)
    later = turn.blocks[place + 1 :]
    second = next((block for block in later if isinstance(block, ToolBlock)), None)
    if second:
        return Fault.SEVERAL_CALLS, f"A second call, {second.name}, follows; the client runs only one.", second.span
    before = turn.blocks[place - 1] if place else None
    if isinstance(before, TextBlock) and (wrapper := _open_wrapper(before.text)):
        return Fault.WRAPPED, f"The call stands inside {wrapper}.", before.span
    if later:
        return Fault.TEXT_AFTER, "Text follows the call, which must come last.", later[0].span
    return None


def _open_wrapper(text: str) -> str | None:
    if text.count("```") % 2 or text.count("~~~") % 2:
        return "a code fence"
    opened = _OPEN_TAG.fullmatch(text, max(0, text.rfind("<")))
    return opened[0] if opened else None


def _offered(turn: _Turn) -> _Fault | None:
    situation = turn.situation
    reason = refusal(turn.call.name, find_mode(situation.mode, situation.custom_modes), turn.call.params)
    if reason is None:
        return None
    if reason == "file_pattern":
        path = turn.call.params.get("path", "")
        return Fault.FILE_PATTERN, f"Mode {situation.mode} may not edit {path}.", turn.call.span
    return Fault.NOT_ALLOWED_IN_MODE, f"Mode {situation.mode} does not offer {turn.call.name}.", turn.call.span


def _required(turn: _Turn) -> _Fault | None:
    spec, params = TOOLS[turn.call.name], turn.call.params
    for name in (*spec.required, *spec.demanded):
        blank_is_fine = name == "content" and name in params
        if not blank_is_fine and not trim(params.get(name, "")):
            return Fault.MISSING_PARAM, f"{turn.call.name} lacks its parameter {name}.", turn.call.span
    return None


def _valid_values(turn: _Turn) -> _Fault | None:
    problem = value_problem(turn.call.name, turn.call.params, turn.situation)
    return (problem[0], f"In {turn.call.name}, {problem[2]}", turn.call.span) if problem else None


def _right_tool(turn: _Turn) -> _Fault | None:
    if turn.call.name == turn.case.expected.tool:
        return None
    return Fault.WRONG_TOOL, f"The task asks for {turn.case.expected.tool}, not {turn.call.name}.", turn.call.span


def _right_arguments(turn: _Turn) -> _Fault | None:
    arguments = typed_arguments(turn.call.name, turn.call.params)
    problem = argument_problem(turn.case.expected, arguments)
    return (problem[0], f"In {turn.call.name}, {problem[2]}", turn.call.span) if problem else None


def _effect(turn: _Turn) -> _Fault | None:
    call, expected = turn.call, turn.case.expected
    path = same_path(call.params["path"])
    text: str | None = written_text(call.params.get("content", ""))
    if call.name == "apply_diff":
        outcome = diff_outcome(turn.case.files.get(path, ""), call.params["diff"])
        if outcome.fault or outcome.failed:
            reason = outcome.failed[-1].fault if outcome.failed else outcome.fault
            return Fault.DIFF_FAILED, f"The diff does not apply to {path} ({reason}).", call.span
        text = outcome.content
    if text is None or not same_text(text, expected.files.get(path, "")):
        return Fault.WRONG_RESULT, f"{path} does not become what the task asks for.", call.span
    return None


_CHECKS: dict[LayerName, Callable[[_Turn], _Fault | None]] = {
    LayerName.CALL_PRESENT: _passes,
    LayerName.PARSES: _parses,
    LayerName.ONE_AND_LAST: _one_and_last,
    LayerName.KNOWN_TOOL: _passes,
    LayerName.OFFERED: _offered,
    LayerName.REQUIRED_PARAMETERS: _required,
    LayerName.VALID_VALUES: _valid_values,
    LayerName.RIGHT_TOOL: _right_tool,
    LayerName.RIGHT_ARGUMENTS: _right_arguments,
    LayerName.EFFECT: _effect,
}
_NEEDS = {
    LayerName.VALID_VALUES: (LayerName.REQUIRED_PARAMETERS,),
    LayerName.RIGHT_ARGUMENTS: (LayerName.REQUIRED_PARAMETERS, LayerName.VALID_VALUES, LayerName.RIGHT_TOOL),
    LayerName.EFFECT: (LayerName.RIGHT_ARGUMENTS,),
}
