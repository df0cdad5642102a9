import json
from dataclasses import replace

import pytest

from services.protocols.cases import (
    Case,
    CaseError,
    Choice,
    Effect,
    Expected,
    FreeText,
    Goal,
    McpServer,
    answer_from_document,
    answer_to_document,
    case_from_document,
    case_to_document,
)
from services.protocols.cases.difference import difference_sentence
from services.protocols.turn import Answer, ToolCall

FULL = Case(
    case_id="c1",
    category="use_mcp_tool.one",
    tool="use_mcp_tool",
    mode="code",
    task="Call it.",
    expected=Expected(
        "use_mcp_tool",
        {"server_name": "s"},
        {"a.py": "x"},
        (FreeText("message", ("a.py",), question=True),),
        (Choice("server_name", ("s", 2), optional=True),),
        (Expected("f", {"a": [1]}),),
        no_call=True,
    ),
    template="Call {}.",
    reference="<use_mcp_tool></use_mcp_tool>",
    files={"a.py": "y"},
    open_tabs=("a.py",),
    mcp=(McpServer("s", ("t",)),),
    todos=(("pending", "write"),),
    custom_modes=({"slug": "x", "groups": ["read"]},),
    workspace=("a.py", "b.py"),
    max_turns=3,
    history=(Answer("Hm."), Answer("", (ToolCall("f", "{}", "id"),), "length")),
    solution=(Answer("Done."),),
    goal=Goal({"a.py": "z", "b.py": None}, ("a.py",), ("use_mcp_tool",), (("completed", "write"),), (Expected("f"),)),
    tools=({"type": "function", "function": {"name": "f"}},),
    results={"f": "3"},
    denied_tools=("execute_command",),
    effects={"f": Effect("replace", {"path": "p", "old": "o", "new": "n"})},
)


def test_a_case_survives_its_document() -> None:
    document = json.loads(json.dumps(case_to_document(FULL)))
    assert case_from_document(document) == FULL


def test_a_goal_without_calls_is_told_from_one_that_asks_for_none() -> None:
    for calls in (None, ()):
        case = replace(FULL, goal=Goal(mentions=("a",), calls=calls))
        assert case_from_document(json.loads(json.dumps(case_to_document(case)))) == case


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
        (("case_id",), "a\0", "case_id"),
        (("task",), "half \ud800", "task"),
        (("files",), {"a\0": "x"}, "files"),
        (("files",), {"a": "\udc00"}, "files.a"),
        (("max_turns",), 0, "max_turns"),
        (("max_turns",), True, "max_turns"),
        (("history",), [{"calls": [{"arguments": "{}"}]}], "history[0].calls[0].name"),
        (("history",), [{"text": "x", "finish_reason": "tired"}], "history[0].finish_reason"),
        (("solution",), [{"role": "x"}], "solution[0].role"),
        (("goal",), {"files": {"a": 3}}, "goal.files.a"),
        (("goal",), {"aim": 1}, "goal.aim"),
        (("goal",), {"calls": [{"tool": "f"}]}, "goal.calls[0].arguments"),
        (("results",), {"f": None}, "results.f"),
        (("effects",), {"f": {"kind": "burn", "arguments": {}}}, "effects.f.kind"),
        (("effects",), {"f": {"kind": ["read"], "arguments": {}}}, "effects.f.kind"),
        (("effects",), {"f": {"kind": "read", "arguments": {"path": 1}}}, "effects.f.arguments.path"),
        (("effects",), {"f": {"kind": "read", "arguments": {}, "x": 1}}, "effects.f.x"),
        (("tools",), ["f"], "tools[0]"),
        (("expected", "choices"), [{}], "expected.choices[0].argument"),
        (("expected", "further"), [{"tool": "f"}], "expected.further[0].arguments"),
        (("expected", "no_call"), 1, "expected.no_call"),
        (("tools",), [json.loads("[" * 101 + "]" * 101)], "tools"),
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


def test_answers_survive_their_documents() -> None:
    for answer in (Answer(), *FULL.history):
        assert answer_from_document(answer_to_document(answer)) == answer
    with pytest.raises(CaseError, match="text: must be text"):
        answer_from_document({"text": 3})


def test_the_calls_that_are_due() -> None:
    one, other = Expected("a"), Expected("b")
    assert one.due == (one,)
    assert Expected("a", further=(other,)).due == (Expected("a", further=(other,)), other)
    assert Expected("a", no_call=True).due == ()


def test_free_text_says_what_it_lacks() -> None:
    rule = FreeText("result", ("a.py",), question=True)
    assert rule.problem("Is a.py right?") is None
    assert rule.problem(" ") == rule.problem(3) == "result is blank."
    assert rule.problem("Is xa.py right?") == "result does not mention 'a.py'."
    assert rule.problem("a.py is right") == "result does not end as a question."


LONG = [["pending", "publish the checkout report"], ["pending", "cover the routes module with tests"]]


def test_short_values_are_shown_whole() -> None:
    assert difference_sentence("cwd", "bin", ".") == 'cwd is "bin", not ".".'
    assert (
        difference_sentence("files", [["a", []]], [["a", [[1, 2]]]]) == 'files is [["a", []]], not [["a", [[1, 2]]]].'
    )


def test_of_long_lists_the_first_item_that_differs_is_shown() -> None:
    found = [LONG[0], ["completed", LONG[1][1]]]
    assert difference_sentence("todos", found, LONG) == (
        'todos[1] is ["completed", "cover the routes module with tests"], '
        'not ["pending", "cover the routes module with tests"].'
    )


def test_an_item_that_is_not_there_is_missing_and_one_too_many_is_not_asked_for() -> None:
    assert difference_sentence("todos", LONG[:1], LONG).startswith("todos[1] is missing: the task asks for [")
    assert difference_sentence("todos", LONG, LONG[:1]).endswith("], which the task does not ask for.")


def test_of_long_objects_the_first_entry_that_differs_is_shown() -> None:
    wanted = {"query": {"text": "x" * 80, "limit": 3}}
    found = {"query": {"text": "x" * 80, "limit": 4}}
    assert difference_sentence("arguments", found, wanted) == "arguments.query.limit is 4, not 3."


def test_of_long_texts_the_part_that_differs_is_shown() -> None:
    sentence = difference_sentence("command", "a" * 500 + " --last", "a" * 500 + " --first" + "b" * 500)
    assert len(sentence) < 300
    assert "--last" in sentence and "--first" in sentence


def test_one_text_that_begins_another_is_told_apart() -> None:
    sentence = difference_sentence("command", "a" * 500, "a" * 500 + "b")
    assert sentence.endswith('b".')


def test_true_is_not_1() -> None:
    values = [True, "x" * 80], [1, "x" * 80]
    assert difference_sentence("flags", *values) == "flags[0] is true, not 1."
