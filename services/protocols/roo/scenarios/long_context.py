"""Up to 8,000 tokens of files in the prompt, of which one place matters."""

from __future__ import annotations

from collections.abc import Sequence

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Draft, kinds_of
from services.protocols.roo.scenarios.edits import renamed
from services.protocols.roo.scenarios.steps import Change, complete, diff

_LINES = (60, 120, 240, 465)
"""How many lines a scenario's files have together."""


def _keys(draw: Draw, count: int) -> list[str]:
    stems, parts, verbs = (draw.stock.words[name] for name in ("stem", "part", "verb"))
    found = draw.random.sample(range(len(stems) * len(parts) * len(verbs)), count)
    pairs = (divmod(number, len(stems)) for number in found)
    return [f"{stems[stem]}_{parts[rest % len(parts)]}_{verbs[rest // len(parts)]}" for rest, stem in pairs]


def _values(draw: Draw, count: int) -> list[str]:
    return list(map(str, draw.random.sample(range(100, 10_000), count)))


def _paths(draw: Draw, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[renamed(draw.word("path"), "ini")] = None
    return list(found)


def _settings(draw: Draw, num_files: int) -> tuple[list[str], list[str], list[str], dict[str, str]]:
    per_file = draw.pick(_LINES) // num_files
    paths = _paths(draw, num_files)
    keys, values = _keys(draw, per_file * num_files), _values(draw, per_file * num_files)
    lines = [f"{key} = {value}" for key, value in zip(keys, values, strict=True)]
    shares = (lines[start : start + per_file] for start in range(0, len(lines), per_file))
    files = {path: "\n".join(share) for path, share in zip(paths, shares, strict=True)}
    return paths, keys, values, files


def find_value(draw: Draw) -> Draft:
    """The value of one setting."""
    _, keys, values, files = _settings(draw, draw.number(1, 3))
    place = draw.number(0, len(keys) - 1)
    step = complete(draw.sentence("result_answer", it=keys[place], there=values[place]), values[place])
    return Draft(slots={"ident": keys[place]}, turns=((step,),), mode=draw.pick(("ask", "code")), files=files)


def find_file(draw: Draw) -> Draft:
    """The file that holds one setting."""
    paths, keys, _, files = _settings(draw, draw.number(4, 6))
    place = draw.number(0, len(keys) - 1)
    key, path = keys[place], paths[place * len(paths) // len(keys)]
    step = complete(draw.sentence("result_answer", it=key, there=path), path)
    return Draft(slots={"ident": key}, turns=((step,),), mode=draw.pick(("ask", "code")), files=files)


def _sections(names: Sequence[str], key: str, values: Sequence[str]) -> list[str]:
    return [line for name, value in zip(names, values, strict=True) for line in (f"[{name}]", f"{key} = {value}", "")]


def change_one(draw: Draw) -> Draft:
    """One of many sections that look alike."""
    count = draw.pick(_LINES) // 3
    names, values, key = _keys(draw, count), draw.random.choices(_values(draw, 3), k=count), draw.word("count_key")
    path, place, new = renamed(draw.word("path"), "ini"), draw.number(0, count - 1), str(draw.number(10, 99))
    lines = _sections(names, key, values)
    number = place * 3 + 2
    step = diff(path, "\n".join(lines), Change(number, [lines[number - 1]], [f"{key} = {new}"]))
    slots = {"path": path, "item": names[place], "key": key, "new": new}
    return Draft(slots=slots, turns=((step,),), files={path: "\n".join(lines)})


LONG_CONTEXT = kinds_of("long_context", {"find_value": find_value, "find_file": find_file, "change_one": change_one})
