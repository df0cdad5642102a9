"""The verdict on one turn: every layer asked in order, and whether the client would run the call."""

import re
from dataclasses import dataclass
from functools import partial

from services.protocols.cases import Case
from services.protocols.javascript.text import trim
from services.protocols.judging.layers import (
    NOT_ASKED,
    NOTHING,
    Check,
    Finding,
    Flaw,
    failed_verdict,
    flaw_of_codes,
    judge_absence,
    judge_silence,
    layers_of,
    passes,
    same_text,
)
from services.protocols.roo.comparison import argument_problem
from services.protocols.roo.normal_forms import same_path
from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.parse import AnswerTooLong, Block, TextBlock, ToolBlock, parse, reasoning_end
from services.protocols.roo_xml.rules.absence import attempted_call, written_call
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.roo_xml.tools.tool import Call, Edition, Problem, Result, Tool
from services.protocols.roo_xml.turn import result_of
from services.protocols.session import state_of
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault, LayerName, Verdict, verdict_of

_OPEN_TAG = re.compile(r"<([a-z][a-z_]*)>")


@dataclass(slots=True)
class _Turn:
    """What the layers are asked of; `run` lets the client do the call, which changes `state`."""

    case: Case
    edition: Edition
    blocks: tuple[Block, ...]
    call: ToolBlock
    tool: Tool
    is_cut: bool
    state: ClientState
    result: Result | None = None

    def as_call(self) -> Call:
        return Call(self.call.name, self.call.params, self.state, self.edition)

    def run(self) -> Result:
        if self.result is None:
            self.result = result_of(self.as_call())
        return self.result


def judge(case: Case, answer: str, finish_reason: str = "stop", edition: Edition = REFERENCE) -> Verdict:
    """Return the verdict on `answer` to `case`.

    Args:
        case: the situation and what is expected.
        answer: the model's text as it came.
        finish_reason: `length` when the token limit ended the answer.
        edition: the client's.
    """
    is_cut = finish_reason == "length"
    start = reasoning_end(answer)
    try:
        blocks = parse(answer, edition, start=start)
    except AnswerTooLong as error:
        return failed_verdict(LayerName.CALL_PRESENT, Flaw(Fault.ANSWER_TOO_LONG, f"The client gives up: {error}."))
    call = next((block for block in blocks if isinstance(block, ToolBlock)), None)
    if call is None and case.expected.no_call:
        return judge_silence(case, answer, start, written_call)
    if call is None:
        return judge_absence(answer, start, partial(attempted_call, is_cut=is_cut), is_cut=is_cut)
    state = state_of(case)
    # A first call is no repetition, so nothing is lost without the check.
    state.mistake_limit = 0
    turn = _Turn(case, edition, blocks, call, edition.tools[call.name], is_cut, state)
    layers = layers_of(_SILENCE if case.expected.no_call else _CHECKS, turn)
    return verdict_of(layers, accepted=turn.run().verdict == "accepted", tool=call.name)


def _needless(turn: _Turn) -> Flaw:
    return Flaw(Fault.NEEDLESS_CALL, f"The call of {turn.call.name} is not due.", turn.call.span)


def _parses(turn: _Turn) -> Flaw | None:
    call = turn.call
    if call.partial:
        if turn.is_cut:
            return Flaw(Fault.CUT_OFF, f"The token limit cut the answer before {call.name} was closed.", call.span)
        return Flaw(Fault.UNCLOSED, f"The call of {call.name} is not closed.", call.span)
    if call.cut:
        return Flaw(Fault.VALUE_CUT, f"{call.cut[0]} is longer than 102,400 units, so the client cuts it.", call.span)
    if call.repeated:
        return Flaw(Fault.REPEATED_PARAMETER, f"{call.repeated[0]} is written more than once.", call.span)
    foreign = [name for name in call.params if name not in turn.tool.parameters]
    if foreign:
        return Flaw(Fault.FOREIGN_PARAMETER, f"{foreign[0]} is no parameter of {call.name} in the prompt.", call.span)
    if call.stray:
        return Flaw(Fault.STRAY_TEXT, f"The call of {call.name} holds text outside its parameters.", call.stray)
    return None


def _one_and_last(turn: _Turn) -> Flaw | None:
    place = turn.blocks.index(turn.call)
    later = turn.blocks[place + 1 :]
    second = next((block for block in later if isinstance(block, ToolBlock)), None)
    if second:
        sentence = f"A second call, {second.name}, follows; the client runs only one."
        return Flaw(Fault.SEVERAL_CALLS, sentence, second.span)
    before = turn.blocks[place - 1] if place else None
    if isinstance(before, TextBlock) and (wrapper := _open_wrapper(before.text)):
        return Flaw(Fault.WRAPPED, f"The call stands inside {wrapper}.", before.span)
    if later:
        return Flaw(Fault.TEXT_AFTER, "Text follows the call, which must come last.", later[0].span)
    return None


def _open_wrapper(text: str) -> str | None:
    if text.count("```") % 2 or text.count("~~~") % 2:
        return "a code fence"
    opened = _OPEN_TAG.fullmatch(text, max(0, text.rfind("<")))
    return opened[0] if opened else None


def _offered(turn: _Turn) -> Flaw | None:
    call, mode = turn.as_call(), turn.state.mode
    reason = call.refusal
    if reason == "file_pattern":
        return Flaw(Fault.FILE_PATTERN, f"Mode {mode} may not edit {call.edited_paths}.", turn.call.span)
    sentence = f"Mode {mode} does not offer {call.tool}."
    return Flaw(Fault.NOT_ALLOWED_IN_MODE, sentence, turn.call.span) if reason else None


def _required(turn: _Turn) -> Flaw | None:
    tool, params = turn.tool, turn.call.params
    for name in (*tool.required, *tool.demanded):
        blank_is_fine = name == "content" and name in params
        if not blank_is_fine and not trim(params.get(name, "")):
            return Flaw(Fault.MISSING_PARAM, f"{tool.name} lacks its parameter {name}.", turn.call.span)
    return None


def _valid_values(turn: _Turn) -> Flaw | None:
    check = turn.tool.problem
    return _flaw(turn, check(turn.call.params, turn.state)) if check else None


def _flaw(turn: _Turn, problem: Problem | None) -> Flaw | None:
    return Flaw(problem[0], f"In {turn.call.name}, {problem[1]}", turn.call.span) if problem else None


def _right_tool(turn: _Turn) -> Flaw | None:
    tool, due = turn.call.name, turn.case.expected.tool
    return None if tool == due else Flaw(Fault.WRONG_TOOL, f"The task asks for {due}, not {tool}.", turn.call.span)


def _right_arguments(turn: _Turn) -> Flaw | None:
    params = {name: value for name, value in turn.call.params.items() if name not in turn.tool.ignored}
    arguments = typed_arguments(turn.call.name, params)
    return _flaw(turn, argument_problem(turn.case.expected, arguments, turn.tool.arguments))


def _effect(turn: _Turn) -> Finding:
    expected = turn.case.expected.files
    if not expected:
        return NOT_ASKED
    call, result = turn.call, turn.run()
    path = same_path(call.params["path"])
    if result.verdict != "accepted" or "some_parts_failed" in result.codes:
        return flaw_of_codes(result.codes, f"{call.name} fails on {path} ({result.codes[0]}).", call.span)
    if not same_text(turn.state.files.get(path, ""), expected.get(path, "")):
        return Flaw(Fault.WRONG_RESULT, f"{path} does not become what the task asks for.", call.span)
    return None


_REQUIRED = frozenset((LayerName.REQUIRED_PARAMETERS,))
_RIGHT = _REQUIRED | {LayerName.VALID_VALUES, LayerName.RIGHT_TOOL}

_CHECKS: tuple[Check[_Turn], ...] = (
    (LayerName.CALL_PRESENT, NOTHING, passes),
    (LayerName.PARSES, NOTHING, _parses),
    (LayerName.ONE_AND_LAST, NOTHING, _one_and_last),
    (LayerName.KNOWN_TOOL, NOTHING, passes),
    (LayerName.OFFERED, NOTHING, _offered),
    (LayerName.REQUIRED_PARAMETERS, NOTHING, _required),
    (LayerName.VALID_VALUES, _REQUIRED, _valid_values),
    (LayerName.RIGHT_TOOL, NOTHING, _right_tool),
    (LayerName.RIGHT_ARGUMENTS, _RIGHT, _right_arguments),
    (LayerName.EFFECT, _RIGHT | {LayerName.OFFERED, LayerName.RIGHT_ARGUMENTS}, _effect),
)
_SILENCE: tuple[Check[_Turn], ...] = ((LayerName.NO_NEEDLESS_CALL, NOTHING, _needless),)
