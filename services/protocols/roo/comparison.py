"""Are the arguments of a call the right ones? Both sides in the client's own normal form."""

import operator
from collections.abc import Callable, Mapping
from typing import Protocol

from services.protocols.cases import Expected
from services.protocols.cases.difference import difference_sentence
from services.protocols.roo.normal_forms import trimmed
from services.protocols.verdict import Fault


class Comparable(Protocol):
    """What is to be known of an argument for two values of it to be compared."""

    @property
    def normal(self) -> Callable[[object], object]:
        """The form in which two values are compared."""

    @property
    def by_effect(self) -> bool:
        """Whether it is right when what the call does to the files is right."""


def argument_problem(
    expected: Expected,
    arguments: Mapping[str, object],
    specs: Mapping[str, Comparable],
    is_same: Callable[[object, object], bool] = operator.eq,
    *,
    needs_files: bool = False,
) -> tuple[Fault, str] | None:
    """Return what is wrong with the first argument that is not the expected one, and one sentence on it, or None.

    Free text follows its rule (`FreeText`); null is the same as absent.

    Args:
        expected: the due call.
        arguments: of the call.
        specs: how the tool's arguments are compared, by name; others by their text without blanks around it.
        is_same: compares two values in normal form.
        needs_files: an argument that is right by its effect is compared by its text, too, where no file is due.
    """
    free = {rule.argument: rule for rule in expected.free_text}
    choices = {choice.argument: choice for choice in expected.choices}
    for name in dict.fromkeys((*expected.arguments, *arguments)):
        spec = specs.get(name)
        if spec and spec.by_effect and (expected.files or not needs_files):
            continue
        value = arguments.get(name)
        if name in free:
            if sentence := free[name].problem(value):
                return Fault.FREE_TEXT, sentence
            continue
        normal = spec.normal if spec else trimmed
        due, actual = normal(expected.arguments.get(name)), normal(value)
        if is_same(due, actual):
            continue
        choice = choices.get(name)
        others = choice.values if choice and value is not None else ()
        is_left_out = choice is not None and choice.optional and value is None
        if not is_left_out and not any(is_same(normal(other), actual) for other in others):
            return Fault.WRONG_ARGUMENTS, difference_sentence(name, actual, due)
    return None
