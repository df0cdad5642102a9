"""Suites that ship with the product: each is a file of cases and, beside it, a header that says where it comes from."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable

from services.protocols.cases import Case
from services.protocols.suites.provenance import provenance_from_document
from services.protocols.suites.suite import Suite, cases_in

FOLDER = "suites"
CheckCase = Callable[[Case], None]
_FILE = re.compile(r"([a-z0-9_]+)-([0-9]+)\.jsonl")


@cache
def stored_suites(package: str, profile: str, check_case: CheckCase) -> tuple[Suite, ...]:
    """Return the suites in the folder `suites` of a package, by name and version."""
    folder = files(package).joinpath(FOLDER)
    found = sorted((name, version) for name, version in _names(folder))
    return tuple(_stored(folder, name, version, profile, check_case) for name, version in found)


def _names(folder: Traversable) -> Iterator[tuple[str, int]]:
    for entry in folder.iterdir():
        if parts := _FILE.fullmatch(entry.name):
            yield parts[1], int(parts[2])


def _stored(folder: Traversable, name: str, version: int, profile: str, check_case: CheckCase) -> Suite:
    text = folder.joinpath(f"{name}-{version}.jsonl").read_text(encoding="utf-8")
    provenance = provenance_from_document(
        json.loads(folder.joinpath(f"{name}-{version}.json").read_text(encoding="utf-8"))
    )
    return Suite(f"{profile}/{name}", version, profile, text, partial(cases_in, text, check_case), provenance)
