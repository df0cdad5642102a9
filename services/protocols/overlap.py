"""Does a pool hold what a suite tests?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from services.protocols.cases import Case

NGRAM_SIZE = 8

Kind = Literal["task", "arguments", "template", "ngram"]

_FENCED = re.compile(r"```.*?```", re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"[^\s\"'(),;]*(?:/[^\s\"'(),;]*)+|[\w-]+\.\w+")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True, slots=True)
class Overlap:
    """One thing that stands on both sides; `text` is that thing in the form in which it was compared."""

    kind: Kind
    suite_case: str
    pool_case: str
    text: str


def find_overlaps(suite: Iterable[Case], pool: Iterable[Case], *, closed_tools: Collection[str] = ()) -> list[Overlap]:
    """Return every task text, call, wording and eight-word sequence of `suite` that `pool` holds too.

    Tasks and wordings are compared without regard to case and blanks, calls by tool and typed arguments, sequences over
    the words outside code and paths.

    Args:
        suite: the cases that test.
        pool: the cases to train on.
        closed_tools: tools whose arguments come from a short list known to everybody; their calls are not compared.
    """
    known: dict[Kind, dict[str, str]] = {kind: {} for kind in _KEYS}
    for case in suite:
        for kind, key in _keys(case, closed_tools):
            known[kind].setdefault(key, case.case_id)
    return [
        Overlap(kind, known[kind][key], case.case_id, key)
        for case in pool
        for kind, key in _keys(case, closed_tools)
        if key in known[kind]
    ]


def _keys(case: Case, closed_tools: Collection[str]) -> Iterator[tuple[Kind, str]]:
    for kind, keys_of in _KEYS.items():
        if kind != "arguments" or case.tool not in closed_tools:
            yield from ((kind, key) for key in dict.fromkeys(keys_of(case)))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _task(case: Case) -> Iterable[str]:
    return (_folded(case.task),)


def _arguments(case: Case) -> Iterable[str]:
    arguments = json.dumps(dict(case.expected.arguments), sort_keys=True, ensure_ascii=False)
    return (f"{case.expected.tool} {arguments}",)


def _template(case: Case) -> Iterable[str]:
    return (_folded(case.template),)


def _ngrams(case: Case) -> Iterable[str]:
    prose = _PATH.sub(" ", _INLINE.sub(" ", _FENCED.sub(" ", case.task)))
    words = _WORD.findall(prose.casefold())
    return (" ".join(words[start : start + NGRAM_SIZE]) for start in range(len(words) - NGRAM_SIZE + 1))


_KEYS: Mapping[Kind, Callable[[Case], Iterable[str]]] = MappingProxyType(
    {"task": _task, "arguments": _arguments, "template": _template, "ngram": _ngrams}
)
