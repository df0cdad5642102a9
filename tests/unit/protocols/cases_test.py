import json

import pytest

from services.protocols.cases import (
    Case,
    CaseError,
    Expected,
    FreeText,
    McpServer,
    case_from_document,
    case_to_document,
)

FULL = Case(
    case_id="c1",
    category="use_mcp_tool.one",
    tool="use_mcp_tool",
    mode="code",
    task="Call it.",
    expected=Expected(
        "use_mcp_tool", {"server_name": "s"}, {"a.py": "x"}, (FreeText("message", ("a.py",), question=True),)
    ),
    template="Call {}.",
    reference="<use_mcp_tool></use_mcp_tool>",
    files={"a.py": "y"},
    open_tabs=("a.py",),
    mcp=(McpServer("s", ("t",)),),
    todos=(("pending", "write"),),
    custom_modes=({"slug": "x", "groups": ["read"]},),
    workspace=("a.py", "b.py"),
)


def test_a_case_survives_its_document() -> None:
    document = json.loads(json.dumps(case_to_document(FULL)))
    assert case_from_document(document) == FULL


def test_empty_collections_are_left_out_of_the_document() -> None:
    document = case_to_document(
        Case("c", "k", "list_files", "code", "t", Expected("list_files"), "template", "reference")
    )
    assert "files" not in document
    assert "mcp" not in document
    assert case_from_document(document).files == {}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("task",), None, "task"),
        (("files",), {"a": 1}, "files.a"),
        (("files",), [], "files"),
        (("open_tabs",), ["a", 2], "open_tabs[1]"),
        (("todos",), [["done", "x"]], "todos[0]"),
        (("mcp",), [{"name": "s"}], "mcp[0].tools"),
        (("mcp",), [{"name": "s", "tools": [], "url": "u"}], "mcp[0].url"),
        (("expected",), 5, "expected"),
        (("expected", "tool"), "read_file", "expected.tool"),
        (("expected", "free_text"), [{"argument": "a", "question": "no"}], "expected.free_text[0].question"),
        (("surplus",), 1, "surplus"),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str, ...], value: object, field: str) -> None:
    document = json.loads(json.dumps(case_to_document(FULL)))
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(CaseError) as caught:
        case_from_document(document)
    assert caught.value.field == field


def test_a_missing_field_is_named() -> None:
    document = case_to_document(FULL)
    del document["reference"]
    with pytest.raises(CaseError, match="reference: is missing"):
        case_from_document(document)


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(CaseError, match="must be an object"):
        case_from_document(["case"])
