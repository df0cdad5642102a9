"""Are these the calls that are due? Each due call is matched with one call, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.protocols.cases import Expected
from services.protocols.cases.difference import told_difference
from services.protocols.javascript import trim
from services.protocols.openai_tools.schemas import Schema, default_of
from services.protocols.verdict import Fault

Arguments = Mapping[str, object]

_MARKS = str.maketrans("", "", " ,./-_*^")
"""What a loose comparison does not see."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can be run: its place among the calls, name and arguments."""

    place: int
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Match:
    """A due call and the call that is nearest to it.

    Attributes:
        call: the nearest call of that name that no other due call has; None when there is none.
        share: share of right arguments.
        fault: what is wrong, with one sentence on it; None when all is right.
    """

    due: Expected
    call: Call | None
    share: float
    fault: tuple[Fault, str] | None


def match_calls(due: Sequence[Expected], calls: Sequence[Call], schemas: Mapping[str, Schema]) -> list[Match]:
    """Return one match per due call: whole matches first, then the nearest of what is left."""
    free, found = list(calls), dict[int, Match]()
    for whole in (True, False):
        for place, expected in enumerate(due):
            if place in found:
                continue
            match = _nearest(expected, free, schemas.get(expected.tool, {}))
            if match.call and match.fault is None:
                free.remove(match.call)
            elif whole:
                continue
            elif match.call:
                free.remove(match.call)
            found[place] = match
    return [found[place] for place in range(len(due))]


def _nearest(expected: Expected, free: Sequence[Call], schema: Schema) -> Match:
    best = Match(expected, None, 0.0, (Fault.WRONG_TOOL, f"The task asks for {expected.tool}, which is not called."))
    for call in free:
        if call.name != expected.tool:
            continue
        problems = list(_problems(expected, call.arguments, schema))
        wrong = [problem for problem in problems if problem]
        share = (len(problems) - len(wrong)) / len(problems) if problems else 1.0
        if not wrong:
            return Match(expected, call, 1.0, None)
        if best.call is None or share > best.share:
            best = Match(expected, call, share, wrong[0])
    return best


def _problems(expected: Expected, arguments: Arguments, schema: Schema) -> Iterator[tuple[Fault, str] | None]:
    free = {rule.argument: rule for rule in expected.free_text}
    choices = {choice.argument: choice for choice in expected.choices}
    for name in dict.fromkeys((*expected.arguments, *free, *choices, *arguments)):
        if name in free:
            problem = free[name].problem(arguments.get(name))
            yield (Fault.FREE_TEXT, problem) if problem else None
            continue
        choice = choices.get(name)
        default = default_of(schema, name)
        form = _loosened if choice and choice.loose else trim
        found = _normal(arguments.get(name, default), form)
        right = [expected.arguments.get(name, default)] if name in expected.arguments or not choice else []
        right += choice.values if choice else ()
        if found in (_normal(value, form) for value in right) or (choice and choice.optional and name not in arguments):
            yield None
        else:
            yield Fault.WRONG_ARGUMENTS, told_difference(name, arguments.get(name), right[0])


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
    return text.translate(_MARKS).casefold()


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
