"""What a mode or `.rooignore` forbids: the right move stays within it."""

import re
from collections.abc import Mapping
from dataclasses import replace

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, kinds_of
from services.protocols.roo.ignored_files import IGNORE_FILE, ignore_rules
from services.protocols.roo.scenarios.dialogue import delegate_named, switch_blocked
from services.protocols.roo.scenarios.edits import snippet, write_note
from services.protocols.roo.scenarios.steps import read, switch, write


def architect_to_code(draw: Draw) -> Draft:
    """Code is to be changed in the mode that edits Markdown only."""
    drawn = snippet(draw)
    old, new = drawn.change.old[0].strip(), drawn.change.new[0].strip()
    step = switch("code", draw.sentence("reason_edit", it=drawn.path))
    slots = {"path": drawn.path, "old": old, "new": new}
    return Draft(slots=slots, turns=((step,),), mode="architect", files={drawn.path: drawn.text})


def orchestrator(draw: Draw) -> Draft:
    """Work is asked of the mode that only delegates."""
    while (draft := delegate_named(draw)).slots["mode"] == "orchestrator":
        pass
    return replace(draft, mode="orchestrator")


def _custom(draw: Draw) -> tuple[Mapping[str, object], str, str]:
    """Return a mode that edits some files only, a path that it may edit and one that it may not."""
    slug, suffix = draw.word("mode_name"), draw.word("suffix")
    stems = [path.rpartition(".")[0] for path in draw.several("path", 2)]
    pattern = f"{re.escape(suffix)}$"
    mode: dict[str, object] = {
        "slug": slug,
        "name": slug.replace("-", " ").title(),
        "roleDefinition": draw.sentence("role", it=slug),
        "groups": ["read", ["edit", {"fileRegex": pattern}]],
    }
    return mode, f"{stems[0]}{suffix}", f"{stems[1]}.{suffix.rpartition('.')[2]}"


def _slots(mode: Mapping[str, object], content: str) -> dict[str, str]:
    _, options = mode["groups"][1]  # type: ignore[index]
    return {"mode": str(mode["slug"]), "regex": options["fileRegex"], "content": content}


def custom_permitted(draw: Draw) -> Draft:
    """One of two files, the one that a custom mode may edit."""
    mode, path, other = _custom(draw)
    content = draw.piece("singles")["lines"]
    shown = [path, other] if draw.number(0, 1) else [other, path]
    slots = {**_slots(mode, content), "path": shown[0], "path2": shown[1]}
    return Draft(slots=slots, turns=((write(path, content),),), mode=str(mode["slug"]), custom_modes=(mode,))


def custom_to_code(draw: Draw) -> Draft:
    """A file that a custom mode may not edit."""
    mode, _, path = _custom(draw)
    slots = {**_slots(mode, draw.piece("singles")["lines"]), "path": path}
    step = switch("code", draw.sentence("reason_edit", it=path))
    return Draft(slots=slots, turns=((step,),), mode=str(mode["slug"]), custom_modes=(mode,))


def ignored(draw: Draw) -> Draft:
    """A file that is kept from the model, and another that is there instead of it."""
    folder = draw.word("folder")
    hidden = f"{folder}/{draw.word('secret')}"
    rules = f"{folder}/" if draw.number(0, 1) else hidden
    while ignore_rules(rules).hide(other := draw.word("path")):
        pass
    slots = {"path": hidden, "path2": other}
    workspace = tuple(sorted((hidden, other)))
    return Draft(slots=slots, turns=((read(other),),), files={IGNORE_FILE: rules}, workspace=workspace)


MODE_LIMITS = kinds_of(
    "mode_limits",
    {
        "blocked": switch_blocked,
        "architect_to_code": architect_to_code,
        "architect_note": write_note,
        "orchestrator": orchestrator,
        "custom_permitted": custom_permitted,
        "custom_to_code": custom_to_code,
        "ignored": ignored,
    },
)
