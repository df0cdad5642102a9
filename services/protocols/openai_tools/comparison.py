"""Are the arguments of a call those of the due one?"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from services.protocols.cases import Choice, Expected
from services.protocols.cases.difference import difference_sentence
from services.protocols.javascript.text import trim
from services.protocols.judging.call_checks import CheckedCall, Compare
from services.protocols.judging.layers import Flaw
from services.protocols.openai_tools.schemas import Schema, default_of
from services.protocols.verdict import Fault

Arguments = Mapping[str, object]

_LOOSE = str.maketrans("'", '"', " ,./-_*^")
"""What a loose comparison takes for the same, or does not see."""

_NO_CHOICE = Choice("")
_NOTHING = object()


def comparison_by(schemas: Mapping[str, Schema]) -> Compare:
    """Return what compares a call with a due one, as the schema of its function asks for."""

    def compare(expected: Expected, call: CheckedCall) -> Flaw | None:
        flaws = list(_flaws(expected, call.arguments, schemas.get(expected.tool, {})))
        wrong = [flaw for flaw in flaws if flaw]
        return wrong[0]._replace(share=(len(flaws) - len(wrong)) / len(flaws)) if wrong else None

    return compare


def _flaws(expected: Expected, arguments: Arguments, schema: Schema) -> Iterator[Flaw | None]:
    free = {rule.argument: rule for rule in expected.free_text}
    choices = {choice.argument: choice for choice in expected.choices}
    for name in dict.fromkeys((*expected.arguments, *free, *choices, *arguments)):
        if name in free:
            problem = free[name].problem(arguments.get(name))
            yield Flaw(Fault.FREE_TEXT, problem) if problem else None
            continue
        default, choice = default_of(schema, name), choices.get(name, _NO_CHOICE)
        right = [expected.arguments.get(name, default)] if name in expected.arguments or name not in choices else []
        right += choice.values
        if _is_right(arguments.get(name, _NOTHING), right, choice, default):
            yield None
        else:
            difference = difference_sentence(name, arguments.get(name), right[0] if right else None)
            yield Flaw(Fault.WRONG_ARGUMENTS, difference)


def allowed_arguments(due: Sequence[Expected], name: str, arguments: Arguments) -> set[str]:
    """Return the arguments of a call of `name` whose values are among those that a due call allows to choose from."""
    return {
        choice.argument
        for expected in due
        for choice in expected.choices
        if expected.tool == name and choice.argument in arguments
        if _is_right(
            arguments[choice.argument], [expected.arguments.get(choice.argument, _NOTHING), *choice.values], choice
        )
    }


def _is_right(value: object, right: Sequence[object], choice: Choice, default: object = None) -> bool:
    if value is _NOTHING and (choice.optional or choice.nested):
        return choice.optional
    form = _loosened if choice.loose else trim
    if choice.nested:
        return any(_fits(value, choice, form) for choice in right)
    actual = _normal(default if value is _NOTHING else value, form)
    return actual in (_normal(choice, form) for choice in right)


def _fits(value: object, right: object, form: Callable[[str], str]) -> bool:
    """Whether a value is the right one, or has for each key of a right object one of the values listed there."""
    if isinstance(right, list | tuple) and isinstance(value, list | tuple):
        return len(value) == len(right) and all(
            _fits(entry, right_entry, form) for entry, right_entry in zip(value, right, strict=True)
        )
    if not isinstance(right, Mapping) or not isinstance(value, Mapping):
        return _normal(value, form) == _normal(right, form)
    choices = {key: entry if isinstance(entry, list | tuple) else [entry] for key, entry in right.items()}
    is_whole = all(key in value or "" in entries for key, entries in choices.items())
    if is_whole and all(
        any(_fits(entry, choice, form) for choice in choices.get(key, ())) for key, entry in value.items()
    ):
        return True
    return _normal(value, form) == _normal(right, form)


def _normal(value: object, form: Callable[[str], str] = trim) -> object:
    """Return what is equal for equal values: texts in the given form; 5 is 5.0, but true is not 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, str):
        return form(value)
    if isinstance(value, Mapping):
        return {key: _normal(entry, form) for key, entry in value.items()}
    return [_normal(entry, form) for entry in value] if isinstance(value, list | tuple) else value


def _loosened(text: str) -> str:
    return text.translate(_LOOSE).lower()


def plain_arguments(arguments: Arguments, schema: Schema) -> dict[str, object]:
    """Return the arguments in the form that equal ones share: what is left out or is the default is not there."""
    plain = {name: _plain(value) for name, value in arguments.items()}
    defaults = {name: default_of(schema, name) for name in plain}
    return {
        name: value for name, value in plain.items() if value is not None and _normal(value) != _normal(defaults[name])
    }


def _plain(value: object) -> object:
    if isinstance(value, str):
        return trim(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
