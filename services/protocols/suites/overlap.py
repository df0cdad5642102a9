"""Does a pool hold what a suite tests?"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from services.protocols.cases import Case, Expected
from services.protocols.turn import Answer

NGRAM_SIZE = 8
MIN_WORDS = 3
"""An answer of fewer words holds too little to be anybody's own."""

Kind = Literal["task", "arguments", "template", "path", "answer", "ngram"]

_FENCED = re.compile(r"```.*?```", re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"[^\s\"'(),;]*(?:/[^\s\"'(),;]*)+|[\w-]+\.\w+")
_FRAME = re.compile(
    r'</?[a-z_]+>|"name": ?"\w+"|"\w+":|:start_line:\d*|^(?:<{7} search|>{7} replace|-{7}|={7})$', re.MULTILINE
)
"""What gives an answer its form, whatever it says."""
_ESCAPE = re.compile(r"\\[nrt]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_CONSTANTS = frozenset(("true", "false", "null"))


@dataclass(frozen=True, slots=True)
class Overlap:
    """One thing that stands on both sides; `text` is that thing in the form in which it was compared."""

    kind: Kind
    suite_case: str
    pool_case: str
    text: str


def find_overlaps(suite: Iterable[Case], pool: Iterable[Case], *, closed_tools: Collection[str] = ()) -> list[Overlap]:
    """Return everything of `suite` that `pool` holds too: task, call, wording, path, answer, eight-word sequence.

    Tasks, wordings and answers are compared without regard to case and blanks, calls that are due by tool and typed
    arguments, paths as they are written, sequences over the words outside code and paths of tasks, answers and what
    tools answer. The answers are those of history, reference and solution; one of few words is not compared, nor is a
    hidden file of the workspace folder, whose name a client gives.

    Args:
        suite: the cases that test.
        pool: the cases to train on.
        closed_tools: tools whose arguments come from a short list known to everybody; their calls are not compared.
    """
    held = Contents(suite, closed_tools=closed_tools)
    return [overlap for case in pool for overlap in held.overlaps(case)]


class Contents:
    """What a suite holds, for asking many cases one by one; see `find_overlaps`."""

    def __init__(self, suite: Iterable[Case], *, closed_tools: Collection[str] = ()) -> None:
        """Read the cases that test."""
        self._closed_tools = closed_tools
        self._known: dict[Kind, dict[str, str]] = {kind: {} for kind in _KEYS}
        for case in suite:
            for kind, key in _keys(case, closed_tools):
                self._known[kind].setdefault(key, case.case_id)

    def overlaps(self, case: Case) -> list[Overlap]:
        """Return everything that `case` shares with the suite."""
        return [
            Overlap(kind, self._known[kind][key], case.case_id, key)
            for kind, key in _keys(case, self._closed_tools)
            if key in self._known[kind]
        ]


def _keys(case: Case, closed_tools: Collection[str]) -> Iterator[tuple[Kind, str]]:
    for kind, keys_of in _KEYS.items():
        yield from ((kind, key) for key in dict.fromkeys(keys_of(case, closed_tools)))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _task(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    return (_folded(case.task),)


def _template(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    return (_folded(case.template),)


def _arguments(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    in_task = (case.goal.calls or ()) if case.goal else ()
    for due in (case.expected, *case.expected.further, *in_task):
        if due.tool not in closed_tools:
            yield f"{due.tool} {json.dumps(dict(due.arguments), sort_keys=True, ensure_ascii=False)}"


def _path(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    due = (path for call in case.expected.due for path in _paths_of_call(call))
    goal = case.goal.files if case.goal else ()
    for path in (*case.files, *case.workspace, *case.open_tabs, *goal, *due):
        if not path.startswith(".") or "/" in path:
            yield path


def _paths_of_call(call: Expected) -> Iterator[str]:
    yield from call.files
    path, files = call.arguments.get("path"), call.arguments.get("files")
    if isinstance(path, str):
        yield path
    for entry in files if isinstance(files, Sequence) and not isinstance(files, str) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("path"), str):
            yield entry["path"]


def _answers(case: Case) -> Iterator[Answer]:
    yield from (*case.history, *case.solution)
    if not case.solution:
        yield Answer(case.reference)


def _answer(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    for answer in _answers(case):
        if answer.text and not (case.tool in closed_tools and answer.text == case.reference):
            yield from _own(answer.text, answer.text)
        for call in answer.calls:
            if call.name not in closed_tools:
                yield from _own(f"{call.name} {call.arguments}", call.arguments)


def _own(answer: str, values: str) -> Iterator[str]:
    words = {word for value in _values(values) for word in _WORD.findall(value)}
    if len(words - _CONSTANTS) >= MIN_WORDS:
        yield _folded(answer)


def _values(text: str) -> list[str]:
    return _FRAME.split(_ESCAPE.sub("\n", text).casefold())


def _ngrams(case: Case, closed_tools: Collection[str]) -> Iterable[str]:
    said = (text for answer in _answers(case) for text in (answer.text, *(call.arguments for call in answer.calls)))
    texts = (case.task.casefold(), *(value for text in said for value in _values(text)), *case.results.values())
    for text in texts:
        words = prose_words(text)
        yield from (" ".join(words[start : start + NGRAM_SIZE]) for start in range(len(words) - NGRAM_SIZE + 1))


def prose_words(text: str) -> list[str]:
    """Return the words of a text outside code and paths, in small letters."""
    prose = _PATH.sub(" ", _INLINE.sub(" ", _FENCED.sub(" ", text)))
    return _WORD.findall(prose.casefold())


_KEYS: Mapping[Kind, Callable[[Case, Collection[str]], Iterable[str]]] = MappingProxyType(
    {"task": _task, "arguments": _arguments, "template": _template, "path": _path, "answer": _answer, "ngram": _ngrams}
)
