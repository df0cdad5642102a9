"""The verdict on one answer: every call asked layer by layer, then the calls against those that are due."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.protocols.cases import Case, Effect, Expected
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
    failed_verdict,
    flaw_of_codes,
    judge_absence,
    judge_silence,
    layers_of,
    passes,
    same_text,
)
from services.protocols.openai_tools.comparison import comparison_by
from services.protocols.openai_tools.effects import take_effect
from services.protocols.openai_tools.form import FORM, check_calls
from services.protocols.openai_tools.parse import MAX_CHARACTERS
from services.protocols.openai_tools.schemas import Schema, functions_of, sent_name
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import OPEN
from services.protocols.turn import Answer, ClientState
from services.protocols.verdict import Fault, LayerName, Verdict, verdict_of


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the first answer to `case`.

    Spans are places in the answer's text, for calls that were read from it.

    Raises:
        CaseError: the case's tools are no function definitions.
    """
    if len(answer.text) + sum(len(call.arguments) for call in answer.calls) > MAX_CHARACTERS:
        flaw = Flaw(Fault.ANSWER_TOO_LONG, f"The answer is longer than {MAX_CHARACTERS:,} characters.")
        return failed_verdict(LayerName.CALL_PRESENT, flaw)
    schemas = functions_of(case.tools)
    if not answer.calls:
        return _judge_text(case, answer, schemas)
    calls = check_calls(answer, schemas, case.expected.due)
    accepted = all(call.flaw is None for call in calls)
    matches = match_calls(*_without_texts(case, calls), comparison_by(schemas))
    judged = CalledAnswer(case, answer, calls, matches)
    checks = _SILENCE if case.expected.no_call else _CHECKS
    return verdict_of(layers_of(checks, judged), accepted=accepted, tool=calls[0].tool)


def _without_texts(case: Case, calls: Sequence[CheckedCall]) -> tuple[list[Expected], list[CheckedCall]]:
    effects = {due.tool: case.effects.get(due.tool) for due in case.expected.due if due.files}
    due = [replace(call, arguments=_left(call.arguments, effects.get(call.tool))) for call in case.expected.due]
    return due, [replace(call, arguments=_left(call.arguments, effects.get(call.tool))) for call in calls]


def _left(arguments: Mapping[str, object], effect: Effect | None) -> Mapping[str, object]:
    texts = {name for purpose, name in effect.arguments.items() if purpose != "path"} if effect else ()
    return {name: value for name, value in arguments.items() if name not in texts}


def _offered(judged: CalledAnswer) -> Finding:
    is_asked = any(call.layer in (None, LayerName.VALID_VALUES) for call in judged.calls)
    return None if is_asked else NOT_ASKED


def _effect(judged: CalledAnswer) -> Finding:
    case = judged.case
    due_files = {path: text for due in case.expected.due for path, text in due.files.items()}
    if not due_files or not judged.is_well_formed:
        return NOT_ASKED
    state = ClientState(files=dict(case.files))
    for call in judged.calls:
        if (effect := case.effects.get(call.tool)) and (result := take_effect(effect, call.arguments, state)).code:
            return flaw_of_codes((result.code,), result.text)
    right = {**case.files, **due_files}
    paths = sorted({*right, *state.files})
    wrong = [path for path in paths if not same_text(right.get(path), state.files.get(path))]
    if not wrong:
        return None
    share = (len(paths) - len(wrong)) / len(paths)
    return Flaw(Fault.WRONG_RESULT, f"{wrong[0]} is not what the task asks for.", None, share)


_CHECKS: tuple[Check[CalledAnswer], ...] = (
    (LayerName.CALL_PRESENT, NOTHING, passes),
    (LayerName.PARSES, NOTHING, form_check(LayerName.PARSES, FORM)),
    (LayerName.ONE_AND_LAST, NOTHING, passes),
    (LayerName.KNOWN_TOOL, NOTHING, form_check(LayerName.KNOWN_TOOL, FORM)),
    (LayerName.OFFERED, NOTHING, _offered),
    (LayerName.REQUIRED_PARAMETERS, NOTHING, form_check(LayerName.REQUIRED_PARAMETERS, FORM)),
    (LayerName.VALID_VALUES, NOTHING, form_check(LayerName.VALID_VALUES, FORM)),
    (LayerName.RIGHT_TOOL, NOTHING, right_tool),
    (LayerName.RIGHT_ARGUMENTS, NOTHING, right_arguments),
    (LayerName.EFFECT, frozenset((LayerName.RIGHT_TOOL,)), _effect),
    (LayerName.NO_NEEDLESS_CALL, NOTHING, needless),
)
_SILENCE: tuple[Check[CalledAnswer], ...] = ((LayerName.NO_NEEDLESS_CALL, NOTHING, needless),)


def _judge_text(case: Case, answer: Answer, schemas: Mapping[str, Schema]) -> Verdict:
    start, is_cut = answer_start(answer.text), answer.finish_reason == "length"
    names = {*schemas, *map(sent_name, schemas)}
    if case.expected.no_call:
        return judge_silence(case, answer.text, start, lambda text: _attempt(text, names))
    return judge_absence(answer.text, start, lambda text: _attempt(text, names, is_cut=is_cut), is_cut=is_cut)


def _attempt(text: str, names: Collection[str], *, is_cut: bool = False) -> Flaw | None:
    opening = text.rfind("<")
    if is_cut and opening >= 0 and OPEN.startswith(text[opening:]):
        return Flaw(Fault.CUT_OFF, "The token limit cut the answer before the call.", (opening, len(text)))
    if match := foreign_form(text, names):
        return Flaw(
            Fault.FOREIGN_FORM, "The answer writes a call in a form that the client does not read.", match.span()
        )
    return None
