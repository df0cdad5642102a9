"""What a case is, and its one document form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

Document = dict[str, object]
T = TypeVar("T")

_NO_FILES: Mapping[str, str] = MappingProxyType({})


class CaseError(ValueError):
    """A document is no case.

    Attributes:
        field: path of the field that is wrong, such as `expected.tool`; empty for the document itself.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


@dataclass(frozen=True, slots=True)
class McpServer:
    """A connected server and the names of its tools."""

    name: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FreeText:
    """An argument whose wording is free.

    It passes when it is not blank, when each of `mentions` stands in it as a whole word or span (case counts), and,
    with `question`, when it ends in a question mark.
    """

    argument: str
    mentions: tuple[str, ...] = ()
    question: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """The one right call.

    Attributes:
        tool: its name.
        arguments: its typed arguments (JSON values), as the reference answer gives them.
        files: text of each file that the call changes, by path, after the call.
        free_text: arguments that are compared by rule instead of by value.
    """

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    free_text: tuple[FreeText, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One situation, the task a person gives in it, and what is expected of the next answer.

    Attributes:
        case_id: unique within a suite or a pool.
        category: the skill that it asks for.
        tool: name of the expected tool.
        mode: slug of the current mode.
        task: what the person asks.
        files: text by path of the workspace files that matter.
        open_tabs: paths open in the editor.
        mcp: connected servers.
        todos: current checklist, (status, text) pairs.
        expected: the right call.
        template: id of the wording that the task was made from.
        reference: an answer that conforms.
        custom_modes: the client's own mode objects, if any.
        workspace: paths shown in the workspace listing.
    """

    case_id: str
    category: str
    tool: str
    mode: str
    task: str
    expected: Expected
    template: str
    reference: str
    files: Mapping[str, str] = field(default_factory=dict)
    open_tabs: tuple[str, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    todos: tuple[tuple[str, str], ...] = ()
    custom_modes: tuple[Mapping[str, object], ...] = ()
    workspace: tuple[str, ...] = ()


def case_to_document(case: Case) -> Document:
    """Return the JSON document of `case`; empty collections are left out."""
    expected = case.expected
    document: Document = {
        "case_id": case.case_id,
        "category": case.category,
        "tool": case.tool,
        "mode": case.mode,
        "template": case.template,
        "task": case.task,
        "files": dict(case.files),
        "open_tabs": list(case.open_tabs),
        "workspace": list(case.workspace),
        "mcp": [{"name": server.name, "tools": list(server.tools)} for server in case.mcp],
        "todos": [list(item) for item in case.todos],
        "custom_modes": [dict(mode) for mode in case.custom_modes],
        "expected": {
            "tool": expected.tool,
            "arguments": dict(expected.arguments),
            "files": dict(expected.files),
            "free_text": [
                {"argument": rule.argument, "mentions": list(rule.mentions), "question": rule.question}
                for rule in expected.free_text
            ],
        },
        "reference": case.reference,
    }
    return {key: value for key, value in document.items() if value not in ({}, [])}


def case_from_document(document: object) -> Case:
    """Return the case that `document` describes.

    Raises:
        CaseError: a field is missing, unknown or of the wrong type; the error names it.
    """
    fields = _Fields(document, "")
    case = Case(
        **{name: fields.take(name, _text) for name in ("case_id", "category", "tool", "mode", "template", "task")},
        files=fields.take("files", _texts, _NO_FILES),
        open_tabs=fields.take("open_tabs", _strings, ()),
        workspace=fields.take("workspace", _strings, ()),
        mcp=fields.take("mcp", _each(_server), ()),
        todos=fields.take("todos", _each(_todo), ()),
        custom_modes=fields.take("custom_modes", _each(_mapping), ()),
        expected=fields.take("expected", _expected),
        reference=fields.take("reference", _text),
    )
    fields.finish()
    if case.tool != case.expected.tool:
        raise CaseError("expected.tool", f"{case.expected.tool!r} differs from the case's tool {case.tool!r}")
    return case


class _Fields:
    def __init__(self, document: object, path: str) -> None:
        self.left = dict(_mapping(document, path))
        self.path = path

    def take(self, name: str, read: Callable[[object, str], T], default: T | None = None) -> T:
        path = f"{self.path}.{name}" if self.path else name
        if name not in self.left:
            if default is None:
                raise CaseError(path, "is missing")
            return default
        return read(self.left.pop(name), path)

    def finish(self) -> None:
        for name in self.left:
            raise CaseError(f"{self.path}.{name}" if self.path else name, "is unknown")


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise CaseError(path, f"must be text, not {type(value).__name__}")
    return value


def _bool(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise CaseError(path, f"must be true or false, not {type(value).__name__}")
    return value


def _mapping(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CaseError(path, f"must be an object, not {type(value).__name__}")
    return MappingProxyType(value)


def _texts(value: object, path: str) -> Mapping[str, str]:
    entries = {key: _text(entry, f"{path}.{key}") for key, entry in _mapping(value, path).items()}
    return MappingProxyType(entries)


def _each(read: Callable[[object, str], T]) -> Callable[[object, str], tuple[T, ...]]:
    def read_all(value: object, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise CaseError(path, f"must be a list, not {type(value).__name__}")
        return tuple(read(entry, f"{path}[{index}]") for index, entry in enumerate(value))

    return read_all


_strings = _each(_text)


def _server(value: object, path: str) -> McpServer:
    fields = _Fields(value, path)
    server = McpServer(fields.take("name", _text), fields.take("tools", _strings))
    fields.finish()
    return server


def _todo(value: object, path: str) -> tuple[str, str]:
    pair = _strings(value, path)
    if len(pair) != 2 or pair[0] not in ("pending", "in_progress", "completed"):
        raise CaseError(path, "must be [status, text] with status pending, in_progress or completed")
    return pair[0], pair[1]


def _free_text(value: object, path: str) -> FreeText:
    fields = _Fields(value, path)
    rule = FreeText(
        fields.take("argument", _text), fields.take("mentions", _strings, ()), fields.take("question", _bool, False)
    )
    fields.finish()
    return rule


def _expected(value: object, path: str) -> Expected:
    fields = _Fields(value, path)
    expected = Expected(
        fields.take("tool", _text),
        fields.take("arguments", _mapping),
        fields.take("files", _texts, _NO_FILES),
        fields.take("free_text", _each(_free_text), ()),
    )
    fields.finish()
    return expected
