"""Wrong answers to a task whose right call is known: one function per kind of mistake."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, Said, Slip, SlipKind, Step

Wrong = Callable[[Draw, Draft], Said]


def slip(kind: SlipKind, name: str = "", value: object = None) -> Wrong:
    """Return what writes the right call in a wrong way."""

    def wrong(draw: Draw, draft: Draft) -> Said:
        return Said(draft.steps[:1], slip=Slip(kind, name, value))

    return wrong


def other(change: Callable[[Draw, Mapping[str, object]], Mapping[str, object]]) -> Wrong:
    """Return what calls the right tool with other arguments, which `change` makes of the right ones."""

    def wrong(draw: Draw, draft: Draft) -> Said:
        call = draft.steps[0]
        return Said((Step(call.tool, change(draw, call.arguments)),))

    return wrong


def only_text(draw: Draw, draft: Draft) -> Said:
    """Say what will be done, and do nothing."""
    return Said(text=draw.word("no_call"))


def unknown_name(draw: Draw, draft: Draft) -> Said:
    """Call a tool that does not exist."""
    return Said(draft.steps[:1], slip=Slip("rename", value=draw.word("unknown_tool")))


def misspelt(name: str) -> Wrong:
    """Return what misspells one argument by a letter too many."""
    return other(lambda draw, given: {**given, name: f"{given[name]}x"})


def reading(change: Callable[[str, int, int], tuple[object, ...]]) -> Wrong:
    """Return what reads another path or other lines; `change` gets the path, the first line and the last, 0 for all."""

    def wrong(draw: Draw, arguments: Mapping[str, object]) -> Mapping[str, object]:
        file = cast(Sequence[Mapping[str, Any]], arguments["files"])[0]
        first, last = file["line_ranges"][0] if file["line_ranges"] else (0, 0)
        path, *lines = change(str(file["path"]), first, last)
        return {"files": [{"path": path, "line_ranges": [lines] if lines else []}]}

    return other(wrong)


def _diff(change: Callable[[list[str]], list[str]]) -> Wrong:
    def wrong(draw: Draw, given: Mapping[str, object]) -> Mapping[str, object]:
        return {**given, "diff": "\n".join(change(str(given["diff"]).split("\n")))}

    return other(wrong)


WRONG_DIFFS: Mapping[str, Wrong] = {
    "no_match": _diff(lambda lines: [*lines[:3], lines[3].swapcase(), *lines[4:]]),
    "identical": _diff(lambda lines: [*lines[:5], lines[3], lines[6]]),
    "empty_search": _diff(lambda lines: [*lines[:3], *lines[4:]]),
    "stray_marker": _diff(lambda lines: [*lines[:5], "<<<<<<< HEAD", *lines[5:]]),
    "marker_order": _diff(lambda lines: [*lines[:4], *lines[5:]]),
    "line_marker_in_replace": _diff(lambda lines: [*lines[:5], lines[1], *lines[5:]]),
    "unfinished_block": _diff(lambda lines: lines[:-1]),
    "no_block": _diff(lambda lines: [f"- {lines[3]}", f"+ {lines[5]}"]),
}
"""By the client's code: what spoils a right diff of one block and one line."""
