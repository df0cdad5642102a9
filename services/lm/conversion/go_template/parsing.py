"""Templates read into trees: what this interpreter does not know is refused, never guessed."""

import re
from collections.abc import Iterator
from typing import Final

from services.lm.conversion.go_template.syntax import (
    Action,
    Branch,
    Call,
    GoTemplateError,
    Jump,
    Node,
    PipelineReader,
    Template,
    Text,
    Token,
    unquoted,
)

_MAX_DEPTH: Final = 100
_ACTION: Final = re.compile(
    r"\{\{(?P<left>-(?=\s))?"
    r"(?:\s*/\*(?P<comment>.*?)\*/\s*|(?P<body>(?:\"(?:\\.|[^\"\\\n])*\"|`[^`]*`|[^\"`}]|\}(?!\}))*?))"
    r"(?P<right>(?<=\s)-)?\}\}",
    re.DOTALL,
)
_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<string>\"(?:\\.|[^\"\\\n])*\"|`[^`]*`)|(?P<variable>\$\w*)|(?P<field>\.[^\W\d]\w*)"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.']))|(?P<name>[^\W\d]\w*)|(?P<sign>:=|[=|,().])"
)
_SPACE: Final = " \t\r\n"


def parse(text: str) -> Template:
    """Return the tree of a template.

    Raises:
        GoTemplateError: Go would refuse it, or it uses something that is not known here.
    """
    reader = _Reader(list(_pieces(text)))
    nodes, end = reader.nodes()
    if end:
        raise GoTemplateError(f"The template has {{{{ {end} }}}} where nothing is open.")
    return Template(nodes, reader.defined)


def _pieces(text: str) -> Iterator[str | list[Token]]:
    """Texts and the tokens of actions, in order, trimmed as the marks say."""
    position, trims = 0, False
    while (start := text.find("{{", position)) >= 0:
        match = _ACTION.match(text, start)
        if not match:
            raise GoTemplateError(f"The template has an action that does not end: {text[start : start + 40]!r}.")
        before = text[position:start]
        before = before.lstrip(_SPACE) if trims else before
        yield before.rstrip(_SPACE) if match["left"] else before
        if match["comment"] is None:
            yield list(_tokens(match["body"]))
        position, trims = match.end(), bool(match["right"])
    yield text[position:].lstrip(_SPACE) if trims else text[position:]


def _tokens(body: str) -> Iterator[Token]:
    position, spaced = 0, True
    while position < len(body):
        match = _TOKEN.match(body, position)
        if not match:
            raise GoTemplateError(f"The template has {body[position : position + 20]!r}, which is not known here.")
        position, kind = match.end(), str(match.lastgroup)
        if kind != "space":
            yield Token(kind, match[0], spaced)
        spaced = kind == "space"


class _Reader:
    """Reads pieces in order; `defined` gets the templates that have names."""

    def __init__(self, pieces: list[str | list[Token]]) -> None:
        self.defined: dict[str, tuple[Node, ...]] = {}
        self._pieces = iter(pieces)
        self._depth = 0

    def nodes(self) -> tuple[tuple[Node, ...], str]:
        """Nodes up to an `else` or `end`, and that word; empty at the template's end."""
        found: list[Node] = []
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise GoTemplateError("The template is nested too deeply.")
        for piece in self._pieces:
            if isinstance(piece, str):
                found += [Text(piece)] if piece else []
                continue
            word = piece[0].text if piece and piece[0].kind == "name" else ""
            if word in ("end", "else"):
                self._depth -= 1
                return tuple(found), " ".join(token.text for token in piece) if word == "end" else self._else(piece)
            found += self._node(word, piece)
        self._depth -= 1
        return tuple(found), ""

    def _else(self, piece: list[Token]) -> str:
        self._otherwise = piece[1:]
        return "else"

    def _node(self, word: str, piece: list[Token]) -> list[Node]:
        if word in ("if", "with", "range"):
            return [self._branch(word, piece[1:])]
        if word in ("break", "continue") and len(piece) == 1:
            return [Jump(word)]
        if word == "define":
            self._define(piece)
            return []
        if word == "template":
            if len(piece) < 2 or piece[1].kind != "string":
                raise GoTemplateError("The template has a template action without a name.")
            return [Call(unquoted(piece[1].text), PipelineReader(piece[2:]).whole() if piece[2:] else None)]
        if word == "block":
            raise GoTemplateError("The template uses block, which is not known here.")
        return [Action(PipelineReader(piece).whole())]

    def _branch(self, kind: str, tokens: list[Token]) -> Branch:
        pipe = PipelineReader(tokens, num_variables=2 if kind == "range" else 1).whole()
        body, end = self.nodes()
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            tokens = self._otherwise
            if tokens and tokens[0].text in ("if", "with") and tokens[0].text == kind:
                return Branch(kind, pipe, body, (self._branch(kind, tokens[1:]),))
            if tokens:
                raise GoTemplateError(f"The template has an else with {tokens[0].text!r}, which is not known here.")
            otherwise, end = self.nodes()
        if end != "end":
            raise GoTemplateError(f"The template has a {kind} without its end.")
        return Branch(kind, pipe, body, otherwise)

    def _define(self, piece: list[Token]) -> None:
        if len(piece) != 2 or piece[1].kind != "string" or self._depth > 1:
            raise GoTemplateError("The template has a define without a name, or inside of something else.")
        nodes, end = self.nodes()
        if end != "end":
            raise GoTemplateError("The template has a define without its end.")
        self.defined[unquoted(piece[1].text)] = nodes
