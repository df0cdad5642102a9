"""From an answer's text to the blocks that the client sees in it.

The client runs a character automaton over the growing text. This module gives the same blocks in time linear in the
text's length by jumping from tag to tag.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from services.protocols.javascript.text import SPACES, from_units, num_units, to_units, trim
from services.protocols.roo_xml.editions import CLASSIC, REFERENCE
from services.protocols.roo_xml.tools.tool import Edition

MAX_ANSWER_UNITS = 1024 * 1024
MAX_VALUE_UNITS = 1024 * 100

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_CONTENT_OPEN = "<content>"
_NOT_BLANK = re.compile(f"[^{SPACES}]")
_THINK_TAG = re.compile("< *(/?) *think *>")
_BEGUN_THINK_TAG = re.compile("< *(?:/ *)?(?:t(?:h(?:i(?:n(?:k *)?)?)?)?)?")


@dataclass(frozen=True, slots=True)
class _Grammar:
    """The tags that the parser knows.

    Attributes:
        opening: a tool's opening tag, its name in group 1.
        tags: by tool, the tags that it reacts to inside a call: a parameter's opening tag, its name in group 1, or a
            closing tag.
        longest: an upper bound of a parameter tag's length.
    """

    opening: re.Pattern[str]
    tags: Mapping[str, re.Pattern[str]]
    longest: int


@cache
def _grammar(is_classic: bool) -> _Grammar:
    edition = CLASSIC if is_classic else REFERENCE
    enter = f"<({'|'.join(sorted(edition.parameters))})>"
    tags = {
        name: re.compile(f"</{name}>|{enter}" + ("|</content>" if name == "write_to_file" else ""))
        for name in edition.tools
    }
    longest = 3 + max(map(len, (*edition.tools, *edition.parameters)))
    return _Grammar(re.compile(f"<({'|'.join(edition.tools)})>"), MappingProxyType(tags), longest)


class AnswerTooLong(ValueError):
    """The answer has more than 1,048,576 UTF-16 units, so the client's parser throws."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text outside calls, trimmed; `span` is its place in the answer, in characters."""

    text: str
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ToolBlock:
    """One call as the client reads it.

    Attributes:
        params: value by parameter name, trimmed as the client trims.
        partial: the answer ended before the call was closed; the client runs it all the same.
        span: place in the answer, opening to closing tag, in characters.
        stray: place of the first text inside the call that belongs to no parameter, which the client ignores.
        repeated: parameters written more than once, of which the client keeps the last.
        cut: parameters whose value passed the limit of 102,400 units and was cut.
    """

    name: str
    params: MappingProxyType[str, str]
    partial: bool
    span: tuple[int, int]
    stray: tuple[int, int] | None = None
    repeated: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()


Block = TextBlock | ToolBlock


def reasoning_end(answer: str) -> int:
    """Return where the block of reasoning ends that begins with the answer's first character; 0 without one.

    The connection splits it off before the client reads on. Blocks nest, and one that is never closed takes the whole
    answer. A closing tag alone is dropped.
    """
    opening = _THINK_TAG.match(answer)
    if opening is None:
        return 0
    if opening[1]:
        return opening.end()
    depth, position = 1, opening.end()
    while depth and (bracket := answer.find("<", position)) >= 0:
        if tag := _THINK_TAG.match(answer, bracket):
            depth += -1 if tag[1] else 1
            position = tag.end()
        else:
            begun = _BEGUN_THINK_TAG.match(answer, bracket)
            # The character that breaks a tag off is spent, even when it could begin another.
            position = (begun.end() if begun else bracket) + 1
    return len(answer) if depth else position


def parse(answer: str, edition: Edition = REFERENCE, *, start: int = 0) -> tuple[Block, ...]:
    """Return the text and tool blocks of `answer` from character `start` on, in order; blank text blocks are left out.

    Raises:
        AnswerTooLong: the answer is longer than the client's parser takes.
    """
    grammar = _grammar(edition.is_classic)
    length = len(answer) - start
    if length > MAX_ANSWER_UNITS:
        raise AnswerTooLong(_too_long(length))
    if length * 2 > MAX_VALUE_UNITS and not answer.isascii() and max(answer) > "\uffff":
        units, first = to_units(answer), num_units(answer[:start])
        if len(units) - first > MAX_ANSWER_UNITS:
            raise AnswerTooLong(_too_long(len(units) - first))
        pairs = [pair.end() for pair in _PAIR.finditer(units)]
        return tuple(_restored(block, pairs) for block in _blocks(units, first, grammar))
    return tuple(_blocks(answer, start, grammar))


def _too_long(length: int) -> str:
    return f"the answer has at least {length:,} UTF-16 units, the client's parser takes {MAX_ANSWER_UNITS:,}"


def _restored(block: Block, pairs: Sequence[int]) -> Block:
    def place(span: tuple[int, int]) -> tuple[int, int]:
        start, end = (index - bisect_right(pairs, index) for index in span)
        return start, end

    if isinstance(block, TextBlock):
        return TextBlock(from_units(block.text), place(block.span))
    return ToolBlock(
        block.name,
        MappingProxyType({name: from_units(value) for name, value in block.params.items()}),
        block.partial,
        place(block.span),
        place(block.stray) if block.stray else None,
        block.repeated,
        block.cut,
    )


def _blocks(text: str, position: int, grammar: _Grammar) -> Iterator[Block]:
    while opened := grammar.opening.search(text, position):
        yield from _text_block(text, position, opened.start())
        tool = _ToolReader(text, grammar, opened[1], opened.start(), opened.end()).read()
        yield tool
        position = tool.span[1]
    yield from _text_block(text, position, len(text))


def _text_block(text: str, start: int, end: int) -> Iterator[TextBlock]:
    if value := trim(text[start:end]):
        yield TextBlock(value, (start, end))


def _inner_lines(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")


def _raw(value: str) -> str:
    return value


@dataclass(slots=True)
class _ToolReader:
    """Reads one call; values stay places in the text until the end, so that overwriting them costs nothing."""

    text: str
    grammar: _Grammar
    name: str
    opened: int
    inside: int
    values: dict[str, tuple[int, int, Callable[[str], str]]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    stray: tuple[int, int] | None = None
    content_opened: int = -1
    content_sought: int = 0

    def read(self) -> ToolBlock:
        """Return the call that starts at `opened`, up to its closing tag or the end of the text."""
        position = self.inside
        while tag := self._next_tag(position):
            self._note_stray(position, tag.start())
            if tag[1]:
                after = self._value(tag[1], tag.end())
                if after is None:
                    return self._block(partial=True, end=len(self.text))
                position = after
            elif tag[0] == "</content>":
                self._stretch_content(tag.start())
                position = tag.end()
            else:
                return self._block(partial=False, end=tag.end())
        self._note_stray(position, len(self.text))
        return self._block(partial=True, end=len(self.text))

    def _next_tag(self, position: int) -> re.Match[str] | None:
        """Return the first tag that ends behind `position`; after a cut value it may begin before it."""
        tags = self.grammar.tags[self.name]
        if not self.cut:
            return tags.search(self.text, position)
        start = max(self.inside, position - self.grammar.longest)
        return next((tag for tag in tags.finditer(self.text, start) if tag.end() > position), None)

    def _value(self, parameter: str, start: int) -> int | None:
        closing = f"</{parameter}>"
        limit = start + MAX_VALUE_UNITS
        end = self.text.find(closing, start, limit)
        if end >= 0:
            self._store(parameter, start, end, _inner_lines if parameter == "content" else trim)
            return end + len(closing)
        if len(self.text) > limit:
            self._store(parameter, start, limit, _raw)
            self.cut.append(parameter)
            return limit + 1
        if len(self.text) > start:
            self._store(parameter, start, len(self.text), _raw)
        return None

    def _store(self, parameter: str, start: int, end: int, finish: Callable[[str], str]) -> None:
        if parameter in self.values and parameter not in self.repeated:
            self.repeated.append(parameter)
        self.values[parameter] = (start, end, finish)

    def _stretch_content(self, end: int) -> None:
        """Let `content` reach from its first opening tag to a later closing tag, as only `write_to_file` does."""
        if self.content_opened < 0:
            self.content_opened = self.text.find(_CONTENT_OPEN, max(self.inside, self.content_sought), end)
            self.content_sought = max(self.inside, end - len(_CONTENT_OPEN))
        # Without an opening tag the client's index arithmetic starts at the ninth character of the call.
        has_opening = self.content_opened >= 0
        start = self.content_opened + len(_CONTENT_OPEN) if has_opening else self.inside + len(_CONTENT_OPEN) - 1
        if end > start:
            self.values["content"] = (start, end, _inner_lines)
            if self.stray and self.stray[0] >= start and has_opening:
                self.stray = None

    def _note_stray(self, start: int, end: int) -> None:
        if self.stray is None and start < end and _NOT_BLANK.search(self.text, start, end):
            self.stray = (start, end)

    def _block(self, *, partial: bool, end: int) -> ToolBlock:
        values = {name: finish(self.text[start:stop]) for name, (start, stop, finish) in self.values.items()}
        return ToolBlock(
            self.name,
            MappingProxyType(values),
            partial,
            (self.opened, end),
            self.stray,
            tuple(self.repeated),
            tuple(self.cut),
        )
