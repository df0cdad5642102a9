"""The verdict on one turn: every layer asked in order, and whether the client would run the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.javascript import trim
from services.protocols.roo.paths import same_path
from services.protocols.roo_xml.arguments import typed_arguments
from services.protocols.roo_xml.client.call import Call, Result
from services.protocols.roo_xml.client.dispatch import refusal_of, result_of
from services.protocols.roo_xml.client.reasoning import reasoning_end
from services.protocols.roo_xml.editions import REFERENCE, Edition
from services.protocols.roo_xml.parse import AnswerTooLong, Block, TextBlock, ToolBlock, parse
from services.protocols.roo_xml.rules.absence import absence_of_call, broken_call
from services.protocols.roo_xml.rules.comparison import argument_problem
from services.protocols.roo_xml.rules.values import value_problem
from services.protocols.session import state_of
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, Span, Verdict, passed, verdict_of

_Fault = tuple[Fault, str, Span | None]

_OPEN_TAG = re.compile(r"<([a-z][a-z_]*)>")


@dataclass(slots=True)
class _Turn:
    """What the layers are asked of; `run` lets the client do the call, which changes `state`."""

    case: Case
    edition: Edition
    blocks: tuple[Block, ...]
    call: ToolBlock
    cut: bool
    state: ClientState
    result: Result | None = None

    def run(self) -> Result:
        if self.result is None:
            self.result = result_of(self.as_call())
        return self.result

    def as_call(self) -> Call:
        return Call(self.call.name, self.call.params, self.state, self.edition)


def judge(case: Case, answer: str, finish_reason: str = "stop", edition: Edition = REFERENCE) -> Verdict:
    """Return the verdict on `answer` to `case`.

    Args:
        case: the situation and what is expected.
        answer: the model's text as it came.
        finish_reason: `length` when the token limit ended the answer.
        edition: the client's.
    """
    cut = finish_reason == "length"
    start = reasoning_end(answer)
    try:
        blocks = parse(answer, edition, start=start)
    except AnswerTooLong as error:
        return _without_call((Fault.ANSWER_TOO_LONG, f"The client gives up: {error}.", None))
    call = next((block for block in blocks if isinstance(block, ToolBlock)), None)
    if call is None:
        seen = " " * start + answer[start:]
        if case.expected.no_call:
            return _silence(case, seen)
        return _without_call(absence_of_call(seen, cut=cut))
    state = state_of(case)
    # A first call is no repetition, so nothing is lost without the check.
    state.mistake_limit = 0
    turn = _Turn(case, edition, blocks, call, cut, state)
    layers = (_needless(call),) if case.expected.no_call else _layers(turn)
    return verdict_of(layers, accepted=turn.run().verdict == "accepted", tool=call.name)


def _without_call(fault: _Fault) -> Verdict:
    return verdict_of((Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, *fault),), accepted=False, tool=None)


def _silence(case: Case, answer: str) -> Verdict:
    """Return the verdict on an answer without a call where none is due: it must say something, and what is asked.

    A call that is tried in a form that is none is no such answer.
    """
    if broken := broken_call(answer):
        return _without_call(broken)
    problem = None if trim(answer) else "The answer is empty."
    for rule in case.expected.free_text:
        problem = problem or rule.problem(answer)
    said = Layer(LayerName.TASK_DONE, LayerStatus.FAILED, Fault.WRONG_RESULT, problem) if problem else None
    layers = (said or passed(LayerName.TASK_DONE), passed(LayerName.NO_NEEDLESS_CALL))
    return verdict_of(layers, accepted=bool(trim(answer)), tool=None)


def _needless(call: ToolBlock) -> Layer:
    sentence = f"The call of {call.name} is not due; the task asks for an answer without a call."
    return Layer(LayerName.NO_NEEDLESS_CALL, LayerStatus.FAILED, Fault.NEEDLESS_CALL, sentence, call.span)


def _layers(turn: _Turn) -> tuple[Layer, ...]:
    layers, sound = list[Layer](), set[LayerName]()
    for name, needs, check in _CHECKS:
        if not needs <= sound or (name is LayerName.EFFECT and not turn.case.expected.files):
            continue
        if fault := check(turn):
            layers.append(Layer(name, LayerStatus.FAILED, *fault))
        else:
            layers.append(passed(name))
            sound.add(name)
    return tuple(layers)


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
    foreign = [name for name in call.params if name not in turn.edition.tools[call.name].parameters]
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
    call, state = turn.call, turn.state
    reason = refusal_of(turn.as_call())
    if reason is None:
        return None
    if reason == "file_pattern":
        paths = ", ".join(filter(None, turn.edition.mode_rules.edited_paths(call.name, call.params)))
        return Fault.FILE_PATTERN, f"Mode {state.mode} may not edit {paths}.", call.span
    return Fault.NOT_ALLOWED_IN_MODE, f"Mode {state.mode} does not offer {call.name}.", call.span


def _required(turn: _Turn) -> _Fault | None:
    spec, params = turn.edition.tools[turn.call.name], turn.call.params
    for name in (*spec.required, *spec.demanded):
        blank_is_fine = name == "content" and name in params
        if not blank_is_fine and not trim(params.get(name, "")):
            return Fault.MISSING_PARAM, f"{turn.call.name} lacks its parameter {name}.", turn.call.span
    return None


def _valid_values(turn: _Turn) -> _Fault | None:
    problem = value_problem(turn.call.name, turn.call.params, turn.state)
    return (problem[0], f"In {turn.call.name}, {problem[2]}", turn.call.span) if problem else None


def _right_tool(turn: _Turn) -> _Fault | None:
    if turn.call.name == turn.case.expected.tool:
        return None
    return Fault.WRONG_TOOL, f"The task asks for {turn.case.expected.tool}, not {turn.call.name}.", turn.call.span


def _right_arguments(turn: _Turn) -> _Fault | None:
    ignored = turn.edition.tools[turn.call.name].ignored
    params = {name: value for name, value in turn.call.params.items() if name not in ignored}
    arguments = typed_arguments(turn.call.name, params)
    problem = argument_problem(turn.case.expected, arguments)
    return (problem[0], f"In {turn.call.name}, {problem[2]}", turn.call.span) if problem else None


def _effect(turn: _Turn) -> _Fault | None:
    call, result = turn.call, turn.run()
    path = same_path(call.params["path"])
    if result.verdict != "accepted" or "some_parts_failed" in result.codes:
        return Fault.DIFF_FAILED, f"{call.name} fails on {path} ({result.codes[0]}).", call.span
    if not _same_text(turn.state.files.get(path, ""), turn.case.expected.files.get(path, "")):
        return Fault.WRONG_RESULT, f"{path} does not become what the task asks for.", call.span
    return None


def _same_text(one: str, other: str) -> bool:
    return one == other or one.rstrip("\n") == other.rstrip("\n")


_REQUIRED = frozenset((LayerName.REQUIRED_PARAMETERS,))
_RIGHT = _REQUIRED | {LayerName.VALID_VALUES, LayerName.RIGHT_TOOL}
_NOTHING = frozenset[LayerName]()

_CHECKS: tuple[tuple[LayerName, frozenset[LayerName], Callable[[_Turn], _Fault | None]], ...] = (
    (LayerName.CALL_PRESENT, _NOTHING, _passes),
    (LayerName.PARSES, _NOTHING, _parses),
    (LayerName.ONE_AND_LAST, _NOTHING, _one_and_last),
    (LayerName.KNOWN_TOOL, _NOTHING, _passes),
    (LayerName.OFFERED, _NOTHING, _offered),
    (LayerName.REQUIRED_PARAMETERS, _NOTHING, _required),
    (LayerName.VALID_VALUES, _REQUIRED, _valid_values),
    (LayerName.RIGHT_TOOL, _NOTHING, _right_tool),
    (LayerName.RIGHT_ARGUMENTS, _RIGHT, _right_arguments),
    (LayerName.EFFECT, _RIGHT | {LayerName.OFFERED, LayerName.RIGHT_ARGUMENTS}, _effect),
)
"""The layers in order: which others must have passed before one is asked, and the question."""
