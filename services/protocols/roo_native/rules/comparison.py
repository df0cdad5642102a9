"""Are the calls the right ones? Both sides in the client's own normal form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from services.protocols.cases import Choice, Expected
from services.protocols.cases.difference import told_difference
from services.protocols.javascript import trim
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.file_text import decoded
from services.protocols.roo.paths import same_path
from services.protocols.roo_native.client.views import LINE_LIMIT
from services.protocols.roo_native.parse.values import write_json
from services.protocols.verdict import Fault

Arguments = Mapping[str, object]
Problem = tuple[Fault, str]
"""What is wrong, and one sentence on it."""

_BY_EFFECT = MappingProxyType(
    {
        "write_to_file": frozenset(("content",)),
        "apply_diff": frozenset(("diff",)),
        "apply_patch": frozenset(("patch",)),
        "edit": frozenset(("old_string", "new_string", "replace_all")),
        "search_replace": frozenset(("old_string", "new_string")),
        "edit_file": frozenset(("old_string", "new_string", "expected_replacements")),
    }
)
"""Arguments that are right when what they do is right."""


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
    by_effect = _BY_EFFECT.get(expected.tool, frozenset()) if expected.files else frozenset()
    for name in dict.fromkeys((*expected.arguments, *arguments)):
        if name in by_effect:
            continue
        if name in free:
            if sentence := free[name].problem(arguments.get(name)):
                return Fault.FREE_TEXT, sentence
            continue
        wanted, found = (_normal(expected.tool, name, side.get(name)) for side in (expected.arguments, arguments))
        if not _same(wanted, found) and not (name in choices and _is_choice(expected.tool, choices[name], arguments)):
            return Fault.WRONG_ARGUMENTS, told_difference(name, found, wanted)
    return None


def _is_choice(tool: str, choice: Choice, arguments: Arguments) -> bool:
    """Return whether the argument is absent and may be so, or another value that is right."""
    if arguments.get(choice.argument) is None:
        return choice.optional
    found = _normal(tool, choice.argument, arguments[choice.argument])
    return any(_same(_normal(tool, choice.argument, value), found) for value in choice.values)


def _same(one: object, other: object) -> bool:
    return one == other and write_json(one, sort_keys=True) == write_json(other, sort_keys=True)


def _normal(tool: str, name: str, value: object) -> object:
    rule = _RULES.get((tool, name)) or _RULES.get(("", name))
    return rule(value) if rule else _text(value)


def _text(value: object) -> object:
    return trim(value) if isinstance(value, str) else value


def _path(value: object) -> object:
    return same_path(trim(value)) if isinstance(value, str) else value


def _or(default: object, rule: Callable[[object], object] = _text) -> Callable[[object], object]:
    return lambda value: rule(default if value in (None, "") else value)


def _command(value: object) -> object:
    return trim(decoded(value)) if isinstance(value, str) else value


def _items(value: object) -> object:
    return list(read_checklist(value)[0]) if isinstance(value, str) and value else None


def _suggestions(value: object) -> object:
    entries = [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []
    return sorted((trim(str(entry.get("text", ""))), str(entry.get("mode") or "")) for entry in entries)


_RULES: Mapping[tuple[str, str], Callable[[object], object]] = MappingProxyType(
    {
        ("", "path"): _path,
        ("", "file_path"): _path,
        ("", "cwd"): _or(".", _path),
        ("", "file_pattern"): _or("*"),
        ("", "recursive"): _or(False),
        ("read_file", "mode"): _or("slice"),
        ("read_file", "offset"): _or(1),
        ("read_file", "limit"): _or(LINE_LIMIT),
        ("execute_command", "command"): _command,
        ("", "todos"): _items,
        ("use_mcp_tool", "arguments"): _or({}),
        ("ask_followup_question", "follow_up"): _suggestions,
    }
)
