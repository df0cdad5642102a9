"""What the prompt asks of an answer and the client never checks: scored apart from validity."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.protocols.roo_xml.editions import REFERENCE
from services.protocols.roo_xml.nested.values import BadNestedValue
from services.protocols.roo_xml.parse import AnswerTooLong, TextBlock, ToolBlock, parse, reasoning_end
from services.protocols.roo_xml.tools import typed_arguments
from services.protocols.roo_xml.tools.tool import Edition
from services.protocols.verdict import Span

STYLE_RULES = (
    *("chatty_opening", "asking_result", "bare_file_name", "several_calls", "absolute_path", "placeholder"),
    "nested_checklist",
)

_OPENING = re.compile(r"\s*(?:<thinking>[\s\S]*?</thinking>\s*)?(Great|Certainly|Okay|Sure)\b", re.IGNORECASE)
_SHOWN = re.compile(
    r"```[\s\S]*?(?:```|\Z)|\[[^\]\n]{0,300}\]\([^)\n]{0,300}\)|[a-z]{2,12}://\S+|<thinking>[\s\S]*?(?:</thinking>|\Z)"
)
"""Stretches in which a file name needs no link: code, links, addresses, thoughts."""
_FILE_NAME = re.compile(r"(?<![\w./@-])(?:[\w.-]+/)*[\w-][\w.-]*\.(?:[A-Za-z][A-Za-z0-9]{0,4})(?![\w/(-])")
_EXTENSIONS = frozenset(
    (
        *("c", "cc", "cfg", "conf", "cpp", "cs", "css", "csv", "go", "h", "hpp", "html", "ini", "java", "js", "json"),
        *("jsx", "kt", "lock", "lua", "md", "mjs", "php", "pl", "proto", "py", "rb", "rs", "scala", "scss", "sh"),
        *("sql", "svg", "swift", "toml", "ts", "tsx", "txt", "vue", "xml", "yaml", "yml"),
    )
)
_ABSOLUTE = re.compile(r"[/~]|[A-Za-z]:[\\/]")
_PLACEHOLDER = re.compile(
    r"^[ \t]*(?://|#|/\*|<!--|--|;|\{[ \t]*/\*)[^\n]*?"
    r"(?:\.\.\.|…|\brest of\b|\bunchanged\b|\bexisting (?:code|content|lines)\b|\bsame as before\b|\bomitted\b)[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_NESTED_ITEM = re.compile(r"^[ \t]+(?:-[ \t]*)?\[[ xX~-]\][^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StyleProblem:
    """One breach of a style rule.

    Attributes:
        name: one of `STYLE_RULES`.
        span: its place in the answer, in characters.
    """

    name: str
    sentence: str
    span: Span


def style_problems(text: str, edition: Edition = REFERENCE) -> list[StyleProblem]:
    """Return what an answer breaks of the style rules, in the order of the text.

    An answer that the client cannot read breaks none.
    """
    try:
        blocks = parse(text, edition, start=reasoning_end(text))
    except AnswerTooLong:
        return []
    problems: list[StyleProblem] = []
    calls = [block for block in blocks if isinstance(block, ToolBlock)]
    if blocks and isinstance(blocks[0], TextBlock):
        problems += _opening(text, blocks[0].span)
    for block in blocks:
        problems += _bare_names(text, block.span) if isinstance(block, TextBlock) else _of_call(text, block)
    if len(calls) > 1:
        sentence = "A second call is written before the first one's result is known."
        problems.append(StyleProblem("several_calls", sentence, calls[1].span))
    return sorted(problems, key=lambda problem: problem.span)


def _opening(text: str, span: Span) -> Iterator[StyleProblem]:
    if hit := _OPENING.match(text, *span):
        yield StyleProblem("chatty_opening", f"The answer opens with {hit[1]!r}.", hit.span(1))


def _bare_names(text: str, span: Span) -> Iterator[StyleProblem]:
    start, end = span
    plain = _SHOWN.sub(lambda hit: " " * len(hit[0]), text[start:end])
    for hit in _FILE_NAME.finditer(plain):
        if hit[0].rpartition(".")[2].lower() in _EXTENSIONS:
            place = start + hit.start(), start + hit.end()
            yield StyleProblem("bare_file_name", f"{hit[0]} is named without a link to it.", place)


def _of_call(text: str, call: ToolBlock) -> Iterator[StyleProblem]:
    for path in _paths(call):
        if _ABSOLUTE.match(path):
            yield StyleProblem("absolute_path", f"{path} is not relative to the workspace.", _place(text, call, path))
    if call.name == "attempt_completion":
        yield from _of_result(text, call)
    if call.name == "write_to_file":
        start, end = _place(text, call, call.params.get("content", ""))
        for hit in _PLACEHOLDER.finditer(text, start, end):
            yield StyleProblem("placeholder", "The content leaves a part of the file out.", hit.span())
    if call.name in ("update_todo_list", "new_task"):
        start, end = _place(text, call, call.params.get("todos", ""))
        for hit in _NESTED_ITEM.finditer(text, start, end):
            yield StyleProblem("nested_checklist", "The checklist has more than one level.", hit.span())


def _of_result(text: str, call: ToolBlock) -> Iterator[StyleProblem]:
    result = call.params.get("result", "")
    start, end = _place(text, call, result)
    if result.rstrip().endswith("?"):
        yield StyleProblem("asking_result", "The result ends in a question.", (start, end))
    yield from _bare_names(text, (start, end))


def _paths(call: ToolBlock) -> Iterator[str]:
    if call.name != "read_file":
        yield call.params.get("path", "")
        return
    try:
        files = typed_arguments("read_file", call.params)["files"]
    except BadNestedValue:
        return
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry["path"], str):
            yield entry["path"]


def _place(text: str, call: ToolBlock, value: str) -> Span:
    start = text.find(value, *call.span)
    return (start, start + len(value)) if start >= 0 else call.span
