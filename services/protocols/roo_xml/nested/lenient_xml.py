"""Nested values as the client's general XML parser reads them (fast-xml-parser, released with 5.2.3).

It forgives missing closing tags and crossed tags, trims and decodes text, and gives up on a tag cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from services.protocols.javascript.text import SPACE_CLASS, SPACES, trim

MAX_DEPTH = 200
_MAX_OPEN_ENDS = 100

Value = str | dict[str, "Value"] | list["Value"]
"""Text; a mapping of child names, `@_attribute` and `#text`; a list where a name occurs more than once."""

# Not possessive: Python before 3.11.5 reads such a repeat of alternatives wrongly. No part can be read in two ways.
_TAG_END = re.compile(r"""(?:[^>"']|"[^"]*"|'[^']*')*>""")
_INSTRUCTION_END = re.compile(r"""(?:[^?"']|\?(?!>)|"[^"]*"|'[^']*')*\?>""")
_ATTRIBUTE = re.compile(rf"""([^{SPACES}=]+){SPACE_CLASS}*(=\s*(['"])([\s\S]*?)\3)?""")
_BLANK = re.compile(SPACE_CLASS)
_ENTITIES = (
    (re.compile("&(?:apos|#39|#x27);"), "'"),
    (re.compile("&(?:gt|#62|#x3E);"), ">"),
    (re.compile("&(?:lt|#60|#x3C);"), "<"),
    (re.compile("&(?:quot|#34|#x22);"), '"'),
    (re.compile("&(?:amp|#38|#x26);"), "&"),
)
_DOCTYPE_ENTITY = re.compile(r"""<!ENTITY\s+([^\s%"'<>&;]+)\s+(?:"([^"]*)"|'([^']*)')\s*>""")


class Unreadable(ValueError):
    """The text is not XML even for the lenient parser."""


@dataclass(slots=True)
class _Node:
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[tuple[str, str | _Node]] = field(default_factory=list)


@dataclass(slots=True)
class _Tag:
    name: str
    attributes: str | None
    closes_itself: bool
    end: int


@lru_cache(maxsize=8)
def read(text: str, raw_elements: tuple[str, ...] = ()) -> Mapping[str, Value]:
    """Return the elements at the top of `text` by name; the answer is shared, so nobody may change it.

    Args:
        text: the nested value.
        raw_elements: top-level elements whose inside is taken as it stands.

    Raises:
        Unreadable: a tag is cut, a raw element is not closed, or elements follow a closing tag too many.
    """
    reader = _Reader(text.replace("\r\n", "\n").replace("\r", "\n"), frozenset(raw_elements))
    return MappingProxyType(_compressed(reader.run()))


class _Reader:
    def __init__(self, text: str, raw_elements: frozenset[str]) -> None:
        self.text = text
        self.raw_elements = raw_elements
        self.root = _Node("!xml")
        self.current: _Node | None = self.root
        self.parents: list[_Node | None] = []
        self.path = ""
        self.pending = ""
        self.entities: dict[str, str] = {}

    def run(self) -> _Node:
        position = 0
        while (place := self.text.find("<", position)) >= 0:
            self.pending += self.text[position:place]
            position = self._markup(place)
        return self.root

    def _markup(self, start: int) -> int:
        following = self.text[start + 1 : start + 4]
        if following[:1] == "/":
            return self._close(start)
        if following[:1] == "?":
            return self._instruction(start)
        if following == "!--":
            return self._after("-->", start + 4)
        if following[:2] == "!D":
            return self._doctype(start)
        if following[:2] == "![":
            return self._cdata(start)
        return self._open(start)

    def _after(self, mark: str, start: int) -> int:
        place = self.text.find(mark, start)
        if place < 0:
            raise Unreadable(f"no {mark!r} closes what begins at character {start}")
        return place + len(mark)

    def _close(self, start: int) -> int:
        end = self._after(">", start)
        if self.current is not None:
            self._save_text(self.current)
        self.path = self.path.rpartition(".")[0]
        self.current = self.parents.pop() if self.parents else None
        self.pending = ""
        return end

    def _instruction(self, start: int) -> int:
        tag = _tag_at(self.text, start, _INSTRUCTION_END)
        if tag is None:
            raise Unreadable(f"the instruction at character {start} is never finished")
        scope = self._scope(start)
        self._save_text(scope)
        scope.children.append((tag.name, _Node(tag.name, self._attributes(tag))))
        return tag.end

    def _cdata(self, start: int) -> int:
        end = self._after("]]>", start)
        scope = self._scope(start)
        self._save_text(scope)
        scope.children.append(("#text", self.text[start + 9 : end - 3]))
        return end

    def _doctype(self, start: int) -> int:
        if not self.text.startswith("<!DOCTYPE", start):
            raise Unreadable(f"invalid tag instead of DOCTYPE at character {start}")
        end = self._after(">", start)
        bracket = self.text.find("[", start, end)
        self.entities = {}
        if bracket >= 0:
            end = self._after(">", self._after("]", bracket) - 1)
            declared = _DOCTYPE_ENTITY.findall(self.text[bracket:end])
            self.entities = {name: one or two for name, one, two in declared if "&" not in one + two}
        return end

    def _scope(self, position: int) -> _Node:
        if self.current is None:
            raise Unreadable(f"more elements were closed than opened before character {position}")
        return self.current

    def _open(self, start: int) -> int:
        tag = _tag_at(self.text, start)
        if tag is None:
            raise Unreadable(f"the tag at character {start} is never finished")
        if self.current is not None and self.current is not self.root:
            self._save_text(self.current)
        path = f"{self.path}.{tag.name}" if self.path else tag.name
        # A tag written as <name/> is compared with its slash, so it never counts as a raw element.
        name = tag.name.removesuffix("/") if tag.closes_itself else tag.name
        node = _Node(name, self._attributes(tag))
        if path in self.raw_elements:
            return self._raw(node, tag)
        scope = self._scope(start)
        scope.children.append((name, node))
        self.pending = ""
        if tag.closes_itself:
            self.path = path.rpartition(".")[0]
        elif len(self.parents) == MAX_DEPTH:
            raise Unreadable(f"elements are nested deeper than {MAX_DEPTH}")
        else:
            self.parents.append(scope)
            self.current, self.path = node, path
        return tag.end

    def _raw(self, node: _Node, tag: _Tag) -> int:
        end = tag.end
        if not tag.closes_itself:
            inside, end = self._raw_end(tag.name, tag.end)
            node.children.append(("#text", self.text[tag.end : inside]))
        self._scope(end).children.append((node.name, node))
        return end

    def _raw_end(self, name: str, start: int) -> tuple[int, int]:
        """Return where the raw element's inside ends and where reading goes on."""
        depth, position, open_ends = 1, start, 0
        while (place := self.text.find("<", position)) >= 0:
            position, closed, opened = self._raw_markup(name, place)
            depth += opened - closed
            if depth == 0:
                return place, position
            open_ends += position == place + 1
            if open_ends > _MAX_OPEN_ENDS or self.text.find(">", place) < 0:
                break
        raise Unreadable(f"<{name}> is not closed")

    def _raw_markup(self, name: str, start: int) -> tuple[int, bool, bool]:
        following = self.text[start + 1 : start + 4]
        if following[:1] == "/":
            end = self._after(">", start)
            return end, trim(self.text[start + 2 : end - 1]) == name, False
        if following[:1] == "?":
            return self._after("?>", start + 2), False, False
        if following == "!--":
            return self._after("-->", start + 4), False, False
        if following[:2] == "![":
            return self._after("]]>", start) - 2, False, False
        tag = _tag_at(self.text, start)
        if tag is None:
            return start + 1, False, False
        opens = tag.name.rpartition(":")[2] == name and not tag.closes_itself
        return tag.end, False, opens

    def _attributes(self, tag: _Tag) -> dict[str, str]:
        attributes = _ATTRIBUTE.findall(tag.attributes or "")
        return {f"@_{name}": self._decoded(trim(value)) for name, assignment, _, value in attributes if assignment}

    def _save_text(self, node: _Node) -> None:
        if text := self._decoded(trim(self.pending)):
            node.children.append(("#text", text))
        self.pending = ""

    def _decoded(self, text: str) -> str:
        if "&" not in text:
            return text
        for name, value in self.entities.items():
            text = text.replace(f"&{name};", value)
        for pattern, value in _ENTITIES:
            text = pattern.sub(value, text)
        return text


def _tag_at(text: str, start: int, ending: re.Pattern[str] = _TAG_END) -> _Tag | None:
    ended = ending.match(text, start + 1)
    if ended is None:
        return None
    inside = text[start + 1 : ended.end() - 1].replace("\t", " ")
    if ending is _INSTRUCTION_END:
        inside = inside[:-1]
    blank = _BLANK.search(inside)
    name = inside[: blank.start()] if blank else inside
    attributes = inside[blank.end() :].lstrip(SPACES) if blank else None
    expression = name if attributes is None else attributes
    closes_itself = expression.endswith("/")
    if closes_itself and attributes is not None and not name.endswith("/"):
        attributes = attributes[:-1]
    elif closes_itself:
        attributes = None
    return _Tag(name, attributes, closes_itself, ended.end())


def _compressed(node: _Node) -> dict[str, Value]:
    result: dict[str, Value] = {}
    texts = [child for name, child in node.children if isinstance(child, str) and name == "#text"]
    for name, child in node.children:
        if isinstance(child, _Node):
            _add(result, name, _value(child))
    if text := "".join(texts):
        result["#text"] = text
    return result


def _value(node: _Node) -> Value:
    inside = _compressed(node)
    if node.attributes:
        return {**inside, **node.attributes}
    if not inside:
        return ""
    if len(inside) == 1 and "#text" in inside:
        return inside["#text"]
    return inside


def _add(result: dict[str, Value], name: str, value: Value) -> None:
    name = "#__proto__" if name == "__proto__" else name
    if name not in result:
        result[name] = value
        return
    present = result[name]
    if isinstance(present, list):
        present.append(value)
    else:
        result[name] = [present, value]
