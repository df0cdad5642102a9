"""Are the arguments of a call what its definition and the prompt demand? Stricter than the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from services.protocols.javascript import trim
from services.protocols.roo.checklist import read_checklist
from services.protocols.roo.diff.blocks import read_blocks
from services.protocols.roo.diff.markers import check_markers
from services.protocols.roo.file_text import decoded_for
from services.protocols.roo.modes import find_mode
from services.protocols.roo_native.definitions import schema_of
from services.protocols.roo_native.editing.patch_text import PatchError, read_patch
from services.protocols.roo_native.tools import SKILLS
from services.protocols.turn import ClientState
from services.protocols.verdict import Fault

MIN_SUGGESTIONS = 2

Arguments = Mapping[str, object]
Problem = tuple[Fault, str]
"""What is wrong, and one sentence on it."""

_MAY_BE_BLANK = frozenset(("content", "new_string", "old_string"))
_MAX_SHOWN = 160


def foreign_argument(tool: str, given: Arguments) -> str | None:
    """Return the first argument that the function does not have, or None."""
    properties = schema_of(tool)["properties"]
    assert isinstance(properties, Mapping)
    return next((name for name in given if name not in properties), None)


def missing_argument(tool: str, given: Arguments) -> str | None:
    """Return the first required argument that is absent, or blank where it may not be, or None."""
    required = schema_of(tool)["required"]
    assert isinstance(required, list)
    return next((name for name in required if name not in given or _is_blank(name, given[name])), None)


def _is_blank(name: str, value: object) -> bool:
    return isinstance(value, str) and not trim(value) and name not in _MAY_BE_BLANK


def value_problem(tool: str, given: Arguments, state: ClientState) -> Problem | None:
    """Return what is wrong with the first value that is not what definition and prompt demand, or None.

    An optional argument that is null counts as left out, as it does for the client.
    """
    required = schema_of(tool)["required"]
    assert isinstance(required, list)
    kept = {name: value for name, value in given.items() if value is not None or name in required}
    error = min(_validator(tool).iter_errors(kept), key=_place, default=None)
    if error is not None:
        return Fault.BAD_VALUE, f"{_place(error)}: {error.message[:_MAX_SHOWN]}."
    check = _CHECKS.get(tool)
    return check(kept, state) if check else None


@cache
def _validator(tool: str) -> Draft202012Validator:
    return Draft202012Validator(dict(schema_of(tool)))


def _place(error: ValidationError) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")


def _bad(sentence: str) -> Problem:
    return Fault.BAD_VALUE, sentence


def _read_file(given: Arguments, state: ClientState) -> Problem | None:
    for name in ("offset", "limit"):
        line = given.get(name, 1)
        if isinstance(line, int | float) and line < 1:
            return _bad(f"{name} is {line}; it is counted from 1.")
    return None


def _apply_diff(given: Arguments, state: ClientState) -> Problem | None:
    diff = decoded_for(state.model_id, str(given["diff"]))
    if fault := check_markers(diff):
        return Fault.DIFF_FORM, f"the marker lines of the diff are not in order ({fault})."
    blocks = read_blocks(diff)
    if not blocks:
        return Fault.DIFF_FORM, "the diff holds no block that the client can read."
    if not all(block.has_start_line for block in blocks):
        return Fault.DIFF_FORM, "a block of the diff lacks its :start_line:."
    if not all(block.has_dashes for block in blocks):
        return Fault.DIFF_FORM, "a block of the diff lacks the line of seven dashes."
    return None


def _apply_patch(given: Arguments, state: ClientState) -> Problem | None:
    try:
        operations = read_patch(str(given["patch"]))
    except PatchError as bad:
        return Fault.DIFF_FORM, f"the patch cannot be read: {bad}."
    return None if operations else (Fault.DIFF_FORM, "the patch holds no file operation.")


def _ask(given: Arguments, state: ClientState) -> Problem | None:
    suggestions = given["follow_up"]
    assert isinstance(suggestions, list)
    if len(suggestions) < MIN_SUGGESTIONS:
        return _bad(f"follow_up holds {len(suggestions)} answers, not 2 to 4.")
    if not all(trim(entry["text"]) for entry in suggestions):
        return _bad("an answer in follow_up is blank.")
    modes = [entry["mode"] for entry in suggestions if entry["mode"] is not None]
    unknown = [mode for mode in modes if find_mode(mode, state.custom_modes) is None]
    return _bad(f"an answer in follow_up names the unknown mode {unknown[0]!r}.") if unknown else None


def _switch_mode(given: Arguments, state: ClientState) -> Problem | None:
    slug = str(given["mode_slug"])
    if find_mode(slug, state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    return (Fault.SAME_MODE, f"{slug!r} is already the current mode.") if slug == state.mode else None


def _new_task(given: Arguments, state: ClientState) -> Problem | None:
    slug = str(given["mode"])
    if find_mode(slug, state.custom_modes) is None:
        return Fault.UNKNOWN_MODE, f"there is no mode {slug!r}."
    return _todos(given, state) if given.get("todos") else None


def _todos(given: Arguments, state: ClientState) -> Problem | None:
    items, dropped = read_checklist(str(given["todos"]))
    if dropped:
        return _bad(f"the line {dropped[0]!r} is no checklist item, so the client drops it.")
    return None if items else _bad("the checklist is empty.")


def _skill(given: Arguments, state: ClientState) -> Problem | None:
    if given["skill"] in SKILLS:
        return None
    return Fault.UNKNOWN_INSTRUCTION, f"{given['skill']!r} is none of the skills: {', '.join(SKILLS)}."


_CHECKS: Mapping[str, Callable[[Arguments, ClientState], Problem | None]] = MappingProxyType(
    {
        "read_file": _read_file,
        "apply_diff": _apply_diff,
        "apply_patch": _apply_patch,
        "ask_followup_question": _ask,
        "switch_mode": _switch_mode,
        "new_task": _new_task,
        "update_todo_list": _todos,
        "skill": _skill,
    }
)
