"""What the functions of a case do to its documents and its checklist."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.protocols.cases import CaseError, Effect, EffectKind
from services.protocols.turn import ClientState

PURPOSES: Mapping[EffectKind, tuple[str, ...]] = MappingProxyType(
    {
        "read": ("path",),
        "search": ("text",),
        "write": ("path", "text"),
        "replace": ("path", "old", "new"),
        "checklist": ("items",),
    }
)
"""What each kind needs arguments for."""

DONE = '{"status": "done"}'
_STATUSES = ("pending", "in_progress", "completed")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a function answers; with a code when it could not do its work."""

    text: str
    code: str = ""


def check_effect(effect: Effect, parameters: Mapping[str, object], path: str) -> None:
    """Raise CaseError unless `effect` has all its arguments, and each is one of the function's parameters."""
    for purpose in PURPOSES[effect.kind]:
        name = effect.arguments.get(purpose)
        if name is None:
            raise CaseError(f"{path}.arguments.{purpose}", "is missing")
        if name not in parameters:
            raise CaseError(f"{path}.arguments.{purpose}", f"the function has no parameter {name!r}")


def take_effect(effect: Effect, arguments: Mapping[str, object], state: ClientState) -> Answered:
    """Do what `effect` says to the files or the checklist of `state`, and return what the function answers."""
    values = {purpose: arguments.get(name) for purpose, name in effect.arguments.items()}
    if effect.kind == "checklist":
        return _checklist(state, values.get("items"))
    texts = [values[purpose] for purpose in PURPOSES[effect.kind]]
    if not all(isinstance(value, str) for value in texts):
        return Answered("The arguments must be texts.", "bad_value")
    return _ON_FILES[effect.kind](state.files, *map(str, texts))


def _read(files: dict[str, str], path: str) -> Answered:
    return Answered(files[path]) if path in files else _absent(files, path)


def _search(files: dict[str, str], text: str) -> Answered:
    paths = [path for path in sorted(files) if text.casefold() in files[path].casefold()]
    return Answered(json.dumps({"found": paths}, ensure_ascii=False))


def _write(files: dict[str, str], path: str, text: str) -> Answered:
    files[path] = text
    return Answered(DONE)


def _replace(files: dict[str, str], path: str, old: str, new: str) -> Answered:
    if path not in files:
        return _absent(files, path)
    if not old:
        return Answered("The text to be replaced is empty; name the text that stands there now.", "empty_search")
    if old == new:
        return Answered("Old and new text are the same, so nothing would change.", "identical")
    places = files[path].count(old)
    if not places:
        return Answered(f"The text to be replaced does not stand in {path}.", "no_match")
    if places > 1:
        problem = f"The text to be replaced stands {places} times in {path}; take more of the text around it."
        return Answered(problem, "several_matches")
    files[path] = files[path].replace(old, new)
    return Answered(DONE)


def _absent(files: dict[str, str], path: str) -> Answered:
    names = ", ".join(sorted(files)) or "none"
    return Answered(f"There is nothing named {path}. There are: {names}.", "file_not_found")


_ON_FILES: Mapping[EffectKind, Callable[..., Answered]] = MappingProxyType(
    {"read": _read, "search": _search, "write": _write, "replace": _replace}
)


def _checklist(state: ClientState, items: object) -> Answered:
    entries = items if isinstance(items, list | tuple) else [None]
    todos = []
    for entry in entries:
        text, status = (entry.get("text"), entry.get("status")) if isinstance(entry, Mapping) else (None, None)
        if not isinstance(text, str) or status not in _STATUSES:
            return Answered(f"Each item needs a text and a status of {', '.join(_STATUSES)}.", "bad_value")
        todos.append((status, text))
    state.todos = todos
    return Answered(DONE)
