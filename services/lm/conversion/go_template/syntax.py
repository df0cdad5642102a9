"""The parts of templates, and pipelines read from their tokens."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any, Final

_ESCAPE: Final = re.compile(r'\\(?:[abfnrtv\\"]|u[0-9a-fA-F]{4})')
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}


class GoTemplateError(ValueError):
    """A template that Go would refuse, or that this interpreter does not know; the message is a sentence."""


@dataclass(frozen=True)
class Token:
    """A piece of an action; `spaced` where a space stands before it."""

    kind: str
    text: str
    spaced: bool


@dataclass(frozen=True)
class Constant:
    """A text, number, bool or nil."""

    value: Any


@dataclass(frozen=True)
class Function:
    """A function's name."""

    name: str


@dataclass(frozen=True)
class Path:
    """Fields of a start: `.` when it is None, a variable by its name with $, or a pipeline in parentheses."""

    start: str | Pipe | None
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Pipe:
    """Commands, each of which gets the value of the one before; `variables` take the last value."""

    commands: tuple[tuple[Constant | Function | Path | Pipe, ...], ...]
    variables: tuple[str, ...] = ()
    is_new: bool = False


@dataclass(frozen=True)
class Text:
    """What stands outside of actions."""

    text: str


@dataclass(frozen=True)
class Action:
    """A pipeline whose value is printed."""

    pipe: Pipe


@dataclass(frozen=True)
class Branch:
    """An `if`, `with` or `range`."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Call:
    """A `template` action, which renders a defined template with another dot."""

    name: str
    pipe: Pipe | None


@dataclass(frozen=True)
class Jump:
    """A `break` or `continue`."""

    kind: str


Node = Text | Action | Branch | Call | Jump


@dataclass
class Template:
    """A template: its nodes, and the templates that it defines by name."""

    nodes: tuple[Node, ...] = ()
    defined: dict[str, tuple[Node, ...]] = field(default_factory=dict)


class PipelineReader:
    """Reads the tokens of one pipeline."""

    def __init__(self, tokens: list[Token], *, num_variables: int = 1) -> None:
        self._tokens, self._position, self._num_variables = tokens, 0, num_variables

    def whole(self) -> Pipe:
        """The pipeline, of which nothing may be left."""
        pipe = self._pipe()
        if self._position < len(self._tokens):
            raise GoTemplateError(f"The template has {self._tokens[self._position].text!r} in a place of nothing.")
        return pipe

    def _peek(self, ahead: int = 0) -> Token | None:
        place = self._position + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def _sign(self, text: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token is not None and token.kind == "sign" and token.text == text

    def _pipe(self) -> Pipe:
        variables, is_new = self._variables()
        commands = [self._command()]
        while self._sign("|"):
            self._position += 1
            commands.append(self._command())
        if any(not isinstance(command[0], Function) for command in commands[1:]):
            raise GoTemplateError("The template pipes a value into something that is no function.")
        return Pipe(tuple(commands), variables, is_new)

    def _variables(self) -> tuple[tuple[str, ...], bool]:
        names: list[str] = []
        place = self._position
        while (token := self._peek()) and token.kind == "variable":
            names.append(token.text)
            self._position += 1
            if self._sign(":=") or self._sign("="):
                is_new = self._sign(":=")
                self._position += 1
                if len(names) <= self._num_variables:
                    return tuple(names), is_new
            if not self._sign(","):
                break
            self._position += 1
        self._position = place
        return (), False

    def _command(self) -> tuple[Constant | Function | Path | Pipe, ...]:
        operands: list[Constant | Function | Path | Pipe] = []
        while (token := self._peek()) and not (token.kind == "sign" and token.text in "|)"):
            if operands and not token.spaced:
                raise GoTemplateError(f"The template has {token.text!r} without a space before it.")
            operands.append(self._operand(token))
        if not operands:
            raise GoTemplateError("The template has an action without a value.")
        if len(operands) > 1 and not isinstance(operands[0], Function | Path):
            raise GoTemplateError("The template gives arguments to something that is no function.")
        return tuple(operands)

    def _operand(self, token: Token) -> Constant | Function | Path | Pipe:
        self._position += 1
        if token.kind == "string":
            return Constant(unquoted(token.text))
        if token.kind == "number":
            return Constant(_number(token.text))
        if token.kind == "name":
            return Constant(_CONSTANTS[token.text]) if token.text in _CONSTANTS else Function(token.text)
        if token.kind == "variable":
            return Path(token.text, self._fields())
        if token.kind == "field":
            return Path(None, (token.text[1:], *self._fields()))
        if token.text == "(":
            return self._parenthesis()
        if token.text == ".":
            return Path(None, ())
        raise GoTemplateError(f"The template has {token.text!r} in a place of nothing.")

    def _parenthesis(self) -> Path | Pipe:
        pipe = self._pipe()
        if not self._sign(")"):
            raise GoTemplateError("The template has a parenthesis without its end.")
        self._position += 1
        fields = self._fields()
        return Path(pipe, fields) if fields else pipe

    def _fields(self) -> tuple[str, ...]:
        names = []
        while (token := self._peek()) and token.kind == "field" and not token.spaced:
            names.append(token.text[1:])
            self._position += 1
        return tuple(names)


def unquoted(text: str) -> str:
    """Return what a quoted text says."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    if "\\" in _ESCAPE.sub("", text[1:-1]):
        raise GoTemplateError(f"The template has the text {text[:40]}, which is not known here.")
    return str(ast.literal_eval(text))


def _number(text: str) -> int | float:
    if re.fullmatch(r"[+-]?0[0-9]+", text):
        raise GoTemplateError(f"The template has the number {text}, which is not known here.")
    is_whole = "x" in text.lower() or not re.search("[.eE]", text)
    return int(text, 0) if is_whole else float(text)
