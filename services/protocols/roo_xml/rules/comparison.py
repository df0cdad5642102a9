"""Are the arguments the right ones? Both sides in the client's own normal form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from services.protocols.cases import Choice, Expected
from services.protocols.cases.difference import told_difference
from services.protocols.javascript import parse_json, trim
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.file_text import decoded
from services.protocols.roo.paths import same_path
from services.protocols.verdict import Fault

Arguments = Mapping[str, object]
Problem = tuple[Fault, str, str]
"""What is wrong, in which argument, and one sentence on it."""

_BY_EFFECT = MappingProxyType({"write_to_file": "content", "apply_diff": "diff"})
"""Arguments that are right when what they do is right."""


def argument_problem(expected: Expected, arguments: Arguments) -> Problem | None:
    """Return the first argument that is not the expected one, or None.

    Paths are compared without `./` and final slashes, commands after decoding, checklists, suggestions and JSON by what
    they say; suggestions and files to read in any order. Free text follows its rule (`FreeText`).
    """
    free = {rule.argument: rule for rule in expected.free_text}
    choices = {choice.argument: choice for choice in expected.choices}
    by_effect = _BY_EFFECT.get(expected.tool)
    for name in dict.fromkeys((*expected.arguments, *arguments)):
        if name == by_effect:
            continue
        if name in free:
            if sentence := free[name].problem(arguments.get(name)):
                return Fault.FREE_TEXT, name, sentence
            continue
        wanted, found = (_normal(expected.tool, name, side.get(name)) for side in (expected.arguments, arguments))
        if wanted != found and not (name in choices and _is_choice(expected.tool, choices[name], arguments)):
            return Fault.WRONG_ARGUMENTS, name, told_difference(name, found, wanted)
    return None


def _is_choice(tool: str, choice: Choice, arguments: Arguments) -> bool:
    """Return whether the argument is absent and may be so, or another value that is right."""
    if choice.argument not in arguments:
        return choice.optional
    found = _normal(tool, choice.argument, arguments[choice.argument])
    return any(_normal(tool, choice.argument, value) == found for value in choice.values)


def _normal(tool: str, name: str, value: object) -> object:
    rule = _RULES.get((tool, name)) or _RULES.get(("", name))
    return rule(value) if rule else _text(value)


def _text(value: object) -> object:
    return trim(value) if isinstance(value, str) else value


def _path(value: object) -> object:
    return same_path(trim(value)) if isinstance(value, str) else value


def _folder(value: object) -> object:
    return _path(value or ".")


def _pattern(value: object) -> object:
    return _text(value or "*")


def _command(value: object) -> object:
    return trim(decoded(value)) if isinstance(value, str) else value


def _items(value: object) -> object:
    return list(read_checklist(value)[0]) if isinstance(value, str) else None


def _json(value: object) -> object:
    try:
        return parse_json(value) if isinstance(value, str) and value else {}
    except ValueError:
        return value


def _files(value: object) -> object:
    entries = value if isinstance(value, list | tuple) else []
    return sorted((str(_path(entry["path"])), [list(bounds) for bounds in entry["line_ranges"]]) for entry in entries)


def _suggestions(value: object) -> object:
    entries = value if isinstance(value, list | tuple) else []
    return sorted((trim(entry.get("text", "")), entry.get("mode", "")) for entry in entries)


_RULES: Mapping[tuple[str, str], Callable[[object], object]] = MappingProxyType(
    {
        ("", "path"): _path,
        ("", "cwd"): _folder,
        ("", "file_pattern"): _pattern,
        ("execute_command", "command"): _command,
        ("", "todos"): _items,
        ("use_mcp_tool", "arguments"): _json,
        ("read_file", "files"): _files,
        ("ask_followup_question", "follow_up"): _suggestions,
    }
)
