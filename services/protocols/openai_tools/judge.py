"""The verdict on one answer: every call asked layer by layer, then the calls against those that are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.protocols.cases import Case, Expected
from services.protocols.javascript import trim
from services.protocols.openai_tools.comparison import Call, Match, allowed_arguments, match_calls
from services.protocols.openai_tools.documents import effect_layer, without_texts
from services.protocols.openai_tools.parse import MAX_CHARACTERS, BadArguments, arguments_of
from services.protocols.openai_tools.schemas import (
    Schema,
    called_name,
    functions_of,
    missing_parameter,
    sent_name,
    value_problem,
)
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.session.reasoning import answer_start
from services.protocols.session.written_calls import OPEN
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Fault, Layer, LayerName, LayerStatus, Span, Verdict, passed, verdict_of

_PER_CALL = (LayerName.PARSES, LayerName.KNOWN_TOOL, LayerName.REQUIRED_PARAMETERS, LayerName.VALID_VALUES)
Finding = tuple[LayerName, Fault, str]


@dataclass(frozen=True, slots=True)
class Checked:
    """A call by its function's own name, its arguments if they can be read, and what is wrong in its form first."""

    call: ToolCall
    arguments: Mapping[str, object]
    finding: Finding | None


def judge(case: Case, answer: Answer) -> Verdict:
    """Return the verdict on the first answer to `case`.

    Spans are places in the answer's text, for calls that were read from it.

    Raises:
        CaseError: the case's tools are no function definitions.
    """
    if len(answer.text) + sum(len(call.arguments) for call in answer.calls) > MAX_CHARACTERS:
        return _without_call(Fault.ANSWER_TOO_LONG, f"The answer is longer than {MAX_CHARACTERS:,} characters.")
    schemas = functions_of(case.tools)
    if case.expected.no_call:
        return _judge_silence(case, answer, schemas)
    if not answer.calls:
        return _without_call(*_absence(answer, schemas))
    checked = check_calls(answer, schemas, case.expected.due)
    layers = [passed(LayerName.CALL_PRESENT), passed(LayerName.ONE_AND_LAST)]
    layers += [_form_layer(name, checked, answer) for name in _PER_CALL]
    if layers[-1].status is not LayerStatus.NOT_APPLICABLE:
        layers.append(passed(LayerName.OFFERED))
    layers += _task_layers(case, checked, schemas)
    order = {name: place for place, name in enumerate(LayerName)}
    layers.sort(key=lambda layer: order[layer.name])
    accepted = all(one.finding is None for one in checked)
    return verdict_of(tuple(layers), accepted=accepted, tool=checked[0].call.name)


def check_calls(answer: Answer, schemas: Mapping[str, Schema], due: Sequence[Expected] = ()) -> list[Checked]:
    """Return each call with its arguments and the first thing in its form that is wrong.

    A value that a due call allows to choose is none, whatever the schema says.
    """
    return [_checked(call, schemas, due) for call in answer.calls]


def _checked(call: ToolCall, schemas: Mapping[str, Schema], due: Sequence[Expected]) -> Checked:
    call = replace(call, name=called_name(call.name, schemas))
    try:
        arguments = arguments_of(call.arguments)
    except BadArguments as error:
        name = call.name[:64] or "a function"
        problem = f"The arguments of {name} are no JSON object: {error}."
        if error.fault is Fault.FOREIGN_FORM:
            problem = f"{name} is called in a form that the client does not read: {error}."
        return Checked(call, {}, (LayerName.PARSES, error.fault, problem))
    return Checked(call, arguments, _fault_of(call.name, arguments, schemas, due))


def _fault_of(
    name: str, arguments: Mapping[str, object], schemas: Mapping[str, Schema], due: Sequence[Expected]
) -> Finding | None:
    schema = schemas.get(name)
    if schema is None:
        return LayerName.KNOWN_TOOL, Fault.UNKNOWN_TOOL, f"There is no function {name[:64]!r}."
    if missing := missing_parameter(schema, arguments):
        return LayerName.REQUIRED_PARAMETERS, Fault.MISSING_PARAM, f"{name} lacks its parameter {missing}."
    problem = value_problem(schema, arguments)
    if problem and (allowed := allowed_arguments(due, name, arguments)):
        problem = value_problem(schema, arguments, allowed)
    if problem:
        return LayerName.VALID_VALUES, Fault.BAD_VALUE, f"In {name}, {problem}"
    return None


def _form_layer(name: LayerName, checked: Sequence[Checked], answer: Answer) -> Layer:
    """Return one layer over all calls; a call whose earlier layer failed is not asked."""
    place = _PER_CALL.index(name)
    asked = [one for one in checked if one.finding is None or _PER_CALL.index(one.finding[0]) >= place]
    failed = [one for one in asked if one.finding and one.finding[0] is name]
    if not asked:
        return Layer(name, LayerStatus.NOT_APPLICABLE)
    if not failed or failed[0].finding is None:
        return passed(name)
    _, fault, sentence = failed[0].finding
    if fault is Fault.BAD_JSON and answer.finish_reason == "length" and checked[-1] is failed[0]:
        fault, sentence = Fault.CUT_OFF, "The token limit cut the answer within a call."
    return Layer(
        name, LayerStatus.FAILED, fault, sentence, failed[0].call.span, (len(asked) - len(failed)) / len(asked)
    )


def _task_layers(case: Case, checked: Sequence[Checked], schemas: Mapping[str, Schema]) -> list[Layer]:
    calls = [Call(place, one.call.name, one.arguments) for place, one in enumerate(checked)]
    due, compared = without_texts(case, calls)
    matches = match_calls(due, compared, schemas)
    spans = [one.call.span for one in checked]
    absent = [match for match in matches if match.call is None]
    layers = [passed(LayerName.RIGHT_TOOL)]
    if absent:
        sentence = absent[0].fault[1] if absent[0].fault else ""
        share = (len(due) - len(absent)) / len(due)
        layers = [Layer(LayerName.RIGHT_TOOL, LayerStatus.FAILED, Fault.WRONG_TOOL, sentence, spans[0], share)]
    if any(match.call for match in matches) and all(one.finding is None for one in checked):
        layers.append(_arguments_layer(matches, spans))
        effect = None if absent else effect_layer(case, calls)
        layers += [effect] if effect else []
    taken = {match.call.place for match in matches if match.call}
    surplus = [one for place, one in enumerate(checked) if place not in taken] if not absent else []
    layers.append(_needless(surplus, len(checked)))
    return layers


def _arguments_layer(matches: Sequence[Match], spans: Sequence[Span | None]) -> Layer:
    name, found = LayerName.RIGHT_ARGUMENTS, [match for match in matches if match.call]
    wrong = next((match for match in found if match.fault), None)
    if wrong is None or wrong.fault is None or wrong.call is None:
        return passed(name)
    fault, sentence = wrong.fault
    share = sum(match.share for match in found) / len(found)
    return Layer(name, LayerStatus.FAILED, fault, f"In {wrong.due.tool}, {sentence}", spans[wrong.call.place], share)


def _needless(surplus: Sequence[Checked], num_calls: int) -> Layer:
    if not surplus:
        return passed(LayerName.NO_NEEDLESS_CALL)
    call, share = surplus[0].call, (num_calls - len(surplus)) / num_calls
    sentence = f"The call of {call.name[:64] or 'nothing'} is not due."
    return Layer(LayerName.NO_NEEDLESS_CALL, LayerStatus.FAILED, Fault.NEEDLESS_CALL, sentence, call.span, share)


def _judge_silence(case: Case, answer: Answer, schemas: Mapping[str, Schema]) -> Verdict:
    checked = check_calls(answer, schemas)
    start = answer_start(answer.text)
    said = answer.text[start:]
    layers = []
    if answer.calls:
        layers.append(_needless(checked, len(checked)))
    elif found := foreign_form(said, _names(schemas)):
        sentence, span = "The answer writes a call, though none is due.", (start + found.start(), start + found.end())
        layers.append(Layer(LayerName.NO_NEEDLESS_CALL, LayerStatus.FAILED, Fault.NEEDLESS_CALL, sentence, span))
    else:
        layers += [_said(case, said), passed(LayerName.NO_NEEDLESS_CALL)]
    accepted = all(one.finding is None for one in checked) and bool(answer.calls or trim(said))
    return verdict_of(tuple(layers), accepted=accepted, tool=checked[0].call.name if checked else None)


def _said(case: Case, text: str) -> Layer:
    problem = "" if trim(text) else "The answer is empty."
    for rule in case.expected.free_text:
        problem = problem or rule.problem(text) or ""
    if not problem:
        return passed(LayerName.TASK_DONE)
    return Layer(LayerName.TASK_DONE, LayerStatus.FAILED, Fault.WRONG_RESULT, problem)


def _absence(answer: Answer, schemas: Mapping[str, Schema]) -> tuple[Fault, str, Span | None]:
    start, is_cut = answer_start(answer.text), answer.finish_reason == "length"
    text = answer.text[start:]
    opening = text.rfind("<")
    if is_cut and opening >= 0 and OPEN.startswith(text[opening:]):
        return Fault.CUT_OFF, "The token limit cut the answer before the call.", (start + opening, len(answer.text))
    if not trim(text):
        if is_cut and start:
            return Fault.CUT_OFF, "The token limit cut the answer within its reasoning.", None
        sentence = "The answer is reasoning alone; nothing follows it." if start else "The answer is empty."
        return Fault.EMPTY_ANSWER, sentence, None
    if found := foreign_form(text, _names(schemas)):
        span = (start + found.start(), start + found.end())
        return Fault.FOREIGN_FORM, "The answer writes a call in a form that the client does not read.", span
    return Fault.NO_CALL, "The answer is plain text without a call.", None


def _names(schemas: Mapping[str, Schema]) -> dict[str, None]:
    return dict.fromkeys((*schemas, *map(sent_name, schemas)))


def _without_call(fault: Fault, sentence: str, span: Span | None = None) -> Verdict:
    layer = Layer(LayerName.CALL_PRESENT, LayerStatus.FAILED, fault, sentence, span)
    return verdict_of((layer,), accepted=False, tool=None)
