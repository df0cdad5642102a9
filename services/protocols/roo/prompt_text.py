"""The texts that a profile's prompts are made of, and the mode that a case is in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from services.protocols.cases import Case
from services.protocols.roo.modes import BUILT_IN_MODES, Mode, find_mode


def mode_of(case: Case) -> Mode:
    """Return the mode that the case is in; `code` when its slug is unknown."""
    return find_mode(case.mode, case.custom_modes) or BUILT_IN_MODES["code"]


@cache
def sections_of(package: str, name: str) -> Mapping[str, str]:
    """Return the sections of a text by title; a line `%% title` opens each."""
    parts = (part.partition("\n") for part in text_of(package, name).split("%% ")[1:])
    return MappingProxyType({title: body.strip("\n") for title, _, body in parts})


@cache
def text_of(package: str, name: str) -> str:
    """Return the text `name` of the prompts of `package`."""
    return files(package).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")
