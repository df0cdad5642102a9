"""Runs the tree of a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.lm.conversion.go_template.functions import call
from services.lm.conversion.go_template.syntax import (
    Action,
    Branch,
    Call,
    Constant,
    Function,
    GoTemplateError,
    Jump,
    Node,
    Path,
    Pipe,
    Template,
    Text,
)
from services.lm.conversion.go_template.values import Pointer, Struct, printed, truth

_MAX_CHARACTERS: Final = 8 << 20
_MAX_STEPS: Final = 2_000_000
_MAX_DEPTH: Final = 100
_Operand = Constant | Function | Path | Pipe


def execute(template: Template, data: Mapping[str, Any]) -> str:
    """Return what the template makes of the data; a key that they lack has no value.

    Raises:
        GoTemplateError: Go would fail, or the template uses what is not known here, or runs without end.
    """
    run = _Run(template.defined)
    run.nodes(template.nodes, _Scope(data, {"$": data}))
    return "".join(run.parts)


@dataclass
class _Scope:
    """The dot and the variables that can be seen; `parent` is where an inner block finds those of the outer one."""

    dot: Any
    variables: dict[str, Any]
    parent: _Scope | None = None

    def owner(self, name: str) -> dict[str, Any]:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.variables:
                return scope.variables
            scope = scope.parent
        raise GoTemplateError(f"The template uses {name}, which has no value.")


class _Jumped(Exception):
    """A `break` or `continue` on its way to its `range`."""


class _Run:
    def __init__(self, defined: Mapping[str, tuple[Node, ...]]) -> None:
        self.parts: list[str] = []
        self._defined = defined
        self._num_characters = self._num_steps = self._depth = 0

    def nodes(self, nodes: tuple[Node, ...], scope: _Scope) -> None:
        for node in nodes:
            self._num_steps += 1
            if self._num_steps > _MAX_STEPS:
                raise GoTemplateError("The template runs without end.")
            if isinstance(node, Text):
                self._print(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe, scope)
                self._print("" if node.pipe.variables else printed(value))
            elif isinstance(node, Branch):
                self._branch(node, scope)
            elif isinstance(node, Call):
                self._call(node, scope)
            elif isinstance(node, Jump):
                raise _Jumped(node.kind)

    def _print(self, text: str) -> None:
        self._num_characters += len(text)
        if self._num_characters > _MAX_CHARACTERS:
            raise GoTemplateError("The rendered prompt is too long.")
        self.parts.append(text)

    def _branch(self, node: Branch, scope: _Scope) -> None:
        inner = _Scope(scope.dot, {}, scope)
        if node.kind == "range":
            return self._range(node, scope)
        value = self._pipe(node.pipe, inner)
        if node.kind == "with" and truth(value):
            inner.dot = value
        return self.nodes(node.body if truth(value) else node.otherwise, inner)

    def _range(self, node: Branch, scope: _Scope) -> None:
        names = node.pipe.variables
        value = self._pipe(Pipe(node.pipe.commands), scope)
        is_empty = True
        for key, item in _items(value):
            is_empty = False
            values = (key, item) if len(names) == 2 else (item,)
            inner = _Scope(item, {}, scope)
            for name, bound in zip(names, values, strict=False):
                (inner.variables if node.pipe.is_new else scope.owner(name))[name] = bound
            try:
                self.nodes(node.body, inner)
            except _Jumped as jump:
                if str(jump) == "break":
                    break
        if is_empty:
            self.nodes(node.otherwise, _Scope(scope.dot, {}, scope))

    def _call(self, node: Call, scope: _Scope) -> None:
        if node.name not in self._defined:
            raise GoTemplateError(f"The template calls the template {node.name!r}, which it does not define.")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise GoTemplateError("The template calls itself without end.")
        dot = self._pipe(node.pipe, scope) if node.pipe else None
        self.nodes(self._defined[node.name], _Scope(dot, {"$": dot}))
        self._depth -= 1

    def _pipe(self, pipe: Pipe, scope: _Scope) -> Any:
        value, is_first = None, True
        for command in pipe.commands:
            value = self._command(command, scope, [] if is_first else [value])
            is_first = False
        for name in pipe.variables:
            (scope.variables if pipe.is_new else scope.owner(name))[name] = value
        return value

    def _command(self, command: tuple[_Operand, ...], scope: _Scope, piped: list[Any]) -> Any:
        first, *rest = command
        if not isinstance(first, Function):
            if rest:
                raise GoTemplateError("The template gives arguments to a field, which is no function.")
            if first == Constant(None):
                raise GoTemplateError("The template uses nil where it needs a value.")
            return self._value(first, scope)
        if first.name in ("and", "or"):
            return self._shortened(first.name == "or", rest, scope, piped)
        return call(first.name, [*(self._value(operand, scope) for operand in rest), *piped])

    def _shortened(self, ends_at: bool, operands: list[_Operand], scope: _Scope, piped: list[Any]) -> Any:
        """`and` and `or` end at the first operand that decides."""
        if not operands and not piped:
            raise GoTemplateError("The template calls and, or or, without a value.")
        value = None
        for operand in operands:
            value = self._value(operand, scope)
            if truth(value) == ends_at:
                return value
        return piped[0] if piped else value

    def _value(self, operand: _Operand, scope: _Scope) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Function):
            return call(operand.name, [])
        if isinstance(operand, Pipe):
            return self._pipe(operand, scope)
        start = operand.start
        if isinstance(start, Pipe):
            value = self._pipe(start, scope)
        else:
            value = scope.dot if start is None else scope.owner(start)[start]
        for name in operand.fields:
            value = _field(value, name)
        return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Struct) and name in value.fields:
        return value.fields[name]
    if isinstance(value, Mapping) and not isinstance(value, Pointer):
        return value.get(name)
    raise GoTemplateError(f"The template asks for the field {name} of a value that has none.")


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if value is None:
        return iter(())
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, Mapping) and not isinstance(value, Pointer):
        return ((key, value[key]) for key in sorted(value, key=str.encode))
    if isinstance(value, int) and not isinstance(value, bool):
        return ((number, number) for number in range(value))
    raise GoTemplateError("The template ranges over a value that is no list and no map.")
