"""Up to 8,000 tokens of files in the prompt, of which one place matters."""

from collections.abc import Sequence
from functools import partial

from services.protocols.material.draw import Draw
from services.protocols.material.scenario import Build, Draft, Kind
from services.protocols.roo.scenarios.edits import renamed
from services.protocols.roo.scenarios.steps import Change, complete, diff

_LINES = (60, 120, 240, 465)
"""How many lines a scenario's files have together."""
_FEW_LINES = (9, 15, 24, 36)
"""The same where looking up is practised, at a small part of the tokens."""


def _keys(draw: Draw, count: int) -> list[str]:
    stems, parts, verbs = (draw.stock.words[name] for name in ("stem", "part", "verb"))
    found = draw.random.sample(range(len(stems) * len(parts) * len(verbs)), count)
    pairs = (divmod(number, len(stems)) for number in found)
    return [f"{stems[stem]}_{parts[rest % len(parts)]}_{verbs[rest // len(parts)]}" for rest, stem in pairs]


def _values(draw: Draw, count: int) -> list[str]:
    return list(map(str, draw.random.sample(range(100, 10_000), count)))


def _settings(
    draw: Draw, num_files: int, sizes: Sequence[int]
) -> tuple[list[str], list[str], list[str], dict[str, str]]:
    per_file = draw.pick(sizes) // num_files
    found: dict[str, None] = {}
    while len(found) < num_files:
        found[renamed(draw.word("path"), "ini")] = None
    paths = list(found)
    keys, values = _keys(draw, per_file * num_files), _values(draw, per_file * num_files)
    lines = [f"{key} = {value}" for key, value in zip(keys, values, strict=True)]
    shares = (lines[start : start + per_file] for start in range(0, len(lines), per_file))
    files = {path: "\n".join(share) for path, share in zip(paths, shares, strict=True)}
    return paths, keys, values, files


def find_value(draw: Draw, sizes: Sequence[int] = _LINES) -> Draft:
    """The value of one setting."""
    _, keys, values, files = _settings(draw, draw.number(1, 3), sizes)
    place = draw.number(0, len(keys) - 1)
    step = complete(draw.sentence("result_answer", it=keys[place], there=values[place]), values[place])
    return Draft(slots={"ident": keys[place]}, turns=((step,),), mode=draw.pick(("ask", "code")), files=files)


def find_file(draw: Draw, sizes: Sequence[int] = _LINES) -> Draft:
    """The file that holds one setting."""
    paths, keys, _, files = _settings(draw, draw.number(4, 6), sizes)
    place = draw.number(0, len(keys) - 1)
    key, path = keys[place], paths[place * len(paths) // len(keys)]
    step = complete(draw.sentence("result_place", it=key, there=path), path)
    return Draft(slots={"ident": key}, turns=((step,),), mode=draw.pick(("ask", "code")), files=files)


def change_one(draw: Draw, sizes: Sequence[int] = _LINES, *, num_above: int = 0) -> Draft:
    """One of many sections that look alike; the edit shows so many lines above, which tell it from the others."""
    count = draw.pick(sizes) // 3
    names, values, key = _keys(draw, count), draw.random.choices(_values(draw, 3), k=count), draw.word("count_key")
    path, place, new = renamed(draw.word("path"), "ini"), draw.number(0, count - 1), str(draw.number(10, 99))
    lines = [line for name, value in zip(names, values, strict=True) for line in (f"[{name}]", f"{key} = {value}", "")]
    number = place * 3 + 2
    above = lines[number - 1 - num_above : number - 1]
    change = Change(number - num_above, [*above, lines[number - 1]], [*above, f"{key} = {new}"])
    step = diff(path, "\n".join(lines), change)
    slots = {"path": path, "item": names[place], "key": key, "new": new}
    return Draft(slots=slots, turns=((step,),), files={path: "\n".join(lines)})


_SECTION = ("long_context", "change_one")
_NAMED: Build = partial(change_one, num_above=1)

LONG_CONTEXT = {
    "find_value": Kind(find_value, ("long_context", "find_value"), weight=3),
    "find_file": Kind(find_file, ("long_context", "find_file"), weight=3),
    "change_one": Kind(change_one, _SECTION, weight=3, stock="suite"),
    "change_named": Kind(_NAMED, _SECTION, weight=3, stock="pool"),
    "near_value": Kind(partial(find_value, sizes=_FEW_LINES), ("long_context", "find_value"), stock="pool"),
    "near_file": Kind(partial(find_file, sizes=_FEW_LINES), ("long_context", "find_file"), stock="pool"),
    "near_named": Kind(partial(change_one, sizes=_FEW_LINES, num_above=1), _SECTION, stock="pool"),
}
