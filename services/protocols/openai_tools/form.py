"""The form of one call: readable, of a function that exists, complete, with values that its schema allows."""

from collections.abc import Mapping, Sequence

from services.protocols.cases import Expected
from services.protocols.judging.call_checks import CheckedCall
from services.protocols.judging.layers import Flaw
from services.protocols.openai_tools.comparison import allowed_arguments
from services.protocols.openai_tools.parse import BadArguments, arguments_of
from services.protocols.openai_tools.schemas import (
    Schema,
    called_name,
    has_foreign_parameter,
    missing_parameter,
    value_problem,
)
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Fault, LayerName

FORM = (LayerName.PARSES, LayerName.KNOWN_TOOL, LayerName.REQUIRED_PARAMETERS, LayerName.VALID_VALUES)
"""The layers of form in the order in which a call is looked at."""


def check_calls(answer: Answer, schemas: Mapping[str, Schema], due: Sequence[Expected] = ()) -> list[CheckedCall]:
    """Return each call by its function's own name, with its arguments and the first thing in its form that is wrong.

    A value that a due call allows to choose is none, whatever the schema says.
    """
    return [_checked(call, called_name(call.name, schemas), schemas, due) for call in answer.calls]


def _checked(call: ToolCall, name: str, schemas: Mapping[str, Schema], due: Sequence[Expected]) -> CheckedCall:
    try:
        arguments = arguments_of(call.arguments)
    except BadArguments as error:
        called = name[:64] or "a function"
        sentence = f"The arguments of {called} are no JSON object: {error}."
        if error.fault is Fault.FOREIGN_FORM:
            sentence = f"{called} is called in a form that the client does not read: {error}."
        return CheckedCall(name, {}, call.span, LayerName.PARSES, Flaw(error.fault, sentence))
    return CheckedCall(name, arguments, call.span, *_first_flaw(name, arguments, schemas, due))


def _first_flaw(
    name: str, arguments: Mapping[str, object], schemas: Mapping[str, Schema], due: Sequence[Expected]
) -> tuple[LayerName, Flaw] | tuple[None, None]:
    schema = schemas.get(name)
    if schema is None:
        return LayerName.KNOWN_TOOL, Flaw(Fault.UNKNOWN_TOOL, f"There is no function {name[:64]!r}.")
    if missing := missing_parameter(schema, arguments):
        return LayerName.REQUIRED_PARAMETERS, Flaw(Fault.MISSING_PARAM, f"{name} lacks its parameter {missing}.")
    problem = value_problem(schema, arguments)
    if problem and (allowed := allowed_arguments(due, name, arguments)):
        problem = value_problem(schema, arguments, allowed)
    if not problem:
        return None, None
    fault = Fault.FOREIGN_PARAMETER if has_foreign_parameter(schema, arguments) else Fault.BAD_VALUE
    return LayerName.VALID_VALUES, Flaw(fault, f"In {name}, {problem}")
