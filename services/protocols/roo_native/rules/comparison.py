"""Are the calls the right ones? Both sides in the client's own normal form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.protocols.cases import Choice, Expected
from services.protocols.cases.difference import told_difference
from services.protocols.roo_native.parse.values import write_json
from services.protocols.roo_native.tools import TOOLS
from services.protocols.roo_native.tools.tool import Argument, Arguments, Problem
from services.protocols.verdict import Fault


@dataclass(frozen=True, slots=True)
class Match:
    """A call that is due, with the place of the call that stands for it, if there is one, and what is wrong with it."""

    due: Expected
    place: int | None = None
    problem: Problem | None = None


def match_calls(due: Sequence[Expected], calls: Sequence[tuple[str, Arguments]]) -> list[Match]:
    """Return for each call that is due the call that stands for it: of the same tool, the best of those left."""
    left = dict(enumerate(calls))
    return [_match(one, left) for one in due]


def _match(due: Expected, left: dict[int, tuple[str, Arguments]]) -> Match:
    found = [
        Match(due, place, argument_problem(due, arguments))
        for place, (tool, arguments) in left.items()
        if tool == due.tool
    ]
    if not found:
        return Match(due)
    best = next((match for match in found if match.problem is None), found[0])
    left.pop(best.place if best.place is not None else -1)
    return best


def argument_problem(expected: Expected, arguments: Arguments) -> Problem | None:
    """Return what is wrong with the first argument that is not the expected one, or None.

    Paths are compared without `./` and final slashes, commands after decoding, checklists and suggestions by what they
    say, the latter in any order; null and a default are the same as an absent argument. Free text follows its rule
    (`FreeText`).
    """
    free = {rule.argument: rule for rule in expected.free_text}
    choices = {choice.argument: choice for choice in expected.choices}
    specs = TOOLS[expected.tool].arguments
    for name in dict.fromkeys((*expected.arguments, *arguments)):
        spec = specs.get(name, _UNSAID)
        if spec.by_effect and expected.files:
            continue
        if name in free:
            if sentence := free[name].problem(arguments.get(name)):
                return Fault.FREE_TEXT, sentence
            continue
        wanted, found = spec.normal(expected.arguments.get(name)), spec.normal(arguments.get(name))
        if not _is_same(wanted, found) and not (name in choices and _is_choice(spec, choices[name], arguments)):
            return Fault.WRONG_ARGUMENTS, told_difference(name, found, wanted)
    return None


_UNSAID = Argument()
"""Of an argument that the tool does not have."""


def _is_choice(spec: Argument, choice: Choice, arguments: Arguments) -> bool:
    """Return whether the argument is absent and may be so, or another value that is right."""
    value = arguments.get(choice.argument)
    if value is None:
        return choice.optional
    return any(_is_same(spec.normal(other), spec.normal(value)) for other in choice.values)


def _is_same(one: object, other: object) -> bool:
    # 1 and True, or 0 and False, are equal in Python alone.
    return one == other and write_json(one, sort_keys=True) == write_json(other, sort_keys=True)
