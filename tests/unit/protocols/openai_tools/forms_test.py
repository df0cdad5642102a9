"""Calls in forms that the client reads, and in forms that it does not."""

import json

import pytest

from services.protocols.cases import Case, Expected
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.parse import as_functions, read_answer, written_call
from services.protocols.session.foreign_forms import foreign_form
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause

STRING = {"type": "string"}
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "parameters": {"properties": {"at": STRING, "id": {}}}}}
    for name in ("get_stock", "list_all", "stock.move")
)
LISTED = Case("c", "k", "list_all", "", "t", Expected("list_all"), "t", "r", tools=TOOLS)
STOCK = Case("c", "k", "get_stock", "", "t", Expected("get_stock", {"at": "x"}), "t", "r", tools=TOOLS)
SILENT = Case("c", "k", "no_call", "", "t", Expected("no_call", no_call=True), "t", "r", tools=TOOLS)


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {}},
        {"parameters": {"at": "x"}},
        {"args": {"at": "x"}},
        {"input": {"at": "x"}},
        {"params": "x"},
        {"at": "x"},
        {"id": "x"},
        {"type": "full"},
        {"arguments": {}, "parameters": {"at": "x"}},
        {"arguments": {}, "at": "x"},
        {"arguments": {}, "id": {"at": "x"}},
        {"arguments": {}, "type": "full"},
    ],
)
def test_what_stands_beside_the_arguments_is_not_thrown_away(more: dict[str, object]) -> None:
    text = f"<tool_call>{json.dumps({'name': 'list_all', **more})}</tool_call>"
    for answer in (read_answer(text), as_functions(read_answer(text))):
        verdict = judge(LISTED, answer)
        assert (verdict.cause, verdict.accepted) == (Cause.WRONG_FORMAT, False)
    assert "a form that the client does not read" in judge(LISTED, read_answer(text)).sentence


@pytest.mark.parametrize(
    "body",
    [
        '{"type": "function", "function": {"name": "list_all", "arguments": {}}}',
        '{"function": {"name": "list_all", "arguments": {}}}',
        '{"tool_name": "list_all", "arguments": {}}',
        '{"tool": "list_all", "args": {}}',
        '{"list_all": {}}',
        '[{"name": "list_all", "arguments": {}}]',
        '{"name": "list_all", "arguments": null}',
        '{"name": "list_all", "arguments": []}',
        '{"name": "list_all", "arguments": "at"}',
        '{"name": "list_all", "arguments": {}, "arguments": {"at": "x"}}',
        '{"name": "get_stock", "name": "list_all", "arguments": {}}',
        '{"name": "list_all", "arguments": {"at": null, "at": 1}}',
        '{"name": "list_all", "arguments": {"at": {"a": 1, "a": true}}}',
        "list_all\n<arg_key>at</arg_key>",
        "<function=list_all>\n</function>",
        "list_all()",
    ],
)
def test_a_call_of_another_form_is_of_the_wrong_format(body: str) -> None:
    assert judge(LISTED, read_answer(f"<tool_call>{body}</tool_call>")).cause is Cause.WRONG_FORMAT


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "list_all"}',
        '{"name": "list_all", "arguments": {}}',
        '{"arguments": {}, "name": "list_all"}',
        '{"name": "list_all", "arguments": "{}"}',
        '{"name": "list_all", "arguments": ""}',
        '{"id": "call_1", "type": "function", "index": 0, "name": "list_all", "arguments": {}}',
        '{"name": "list_all", "type": "function"}',
        '{"name": "list_all", "arguments": {}, "parameters": {}, "at": null}',
        '{"name": "list_all", "arguments": {}, "arguments": {}}',
    ],
)
def test_what_is_about_the_call_itself_or_says_nothing_does_no_harm(body: str) -> None:
    assert judge(LISTED, read_answer(f"<tool_call>{body}</tool_call>")).conforming


def test_arguments_beside_the_text_are_not_read_by_half_either() -> None:
    def judged(raw: str) -> Cause | None:
        return judge(STOCK, Answer("", (ToolCall("get_stock", raw),))).cause

    assert judged('{"at": "x", "at": "x"}') is None
    assert judged('{"at": "y", "at": "x"}') is Cause.WRONG_FORMAT


BROKEN = (
    "<start_function_call>call:get_stock{at:<escape>x<escape>}<end_function_call>",
    "<longcat_tool_call>get_stock\n<longcat_arg_key>at",
    '{name: "get_stock", arguments: {at: "x"}}',
    '<|assistant|>get_stock\n{"at": "x"}',
    '{"name": "get_stock", "argum',
    '{"name": "get_st',
    '{"na',
    '{"name": "unheard", "arguments": {',
    '{"arguments": {"at": "x"}, "name": "get_stock"}',
    '{"function": "get_stock", "params": {}}',
    '[{"get_stock": {"at": "x"}}]',
    "{'name': 'get_stock', 'arguments': {'at': 'x'}}",
    "<tool_call",
    "Sure.\n<tool_cal",
    '<tool_call>\n{"name": "get_stock"',
    "</tool_call>",
    '<tool_calls>[{"name"',
    '<toolcall>{"name": "get_stock"',
    "<get_stock>",
    "<get_stock at='x",
    "<tool>get_stock</tool>",
    '<minimax:tool_call>\n<invoke name="get_stock">',
    "<function=get_stock>\n<parameter=at>",
    '[TOOL_CALLS]get_stock[ARGS]{"at": "x"}',
    '<|python_tag|>get_stock.call(at="x")',
    'functools[{"name": "get_stock"',
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_stock",
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_stock:0",
    '<|channel|>commentary to=functions.get_stock <|constrain|>json<|message|>{"at": "x"}',
    "<｜DSML｜function_calls>",
    '<|START_ACTION|>[{"tool_name": "get_stock"',
    '✿FUNCTION✿: get_stock\n✿ARGS✿: {"at": "x"}',
    '>>>get_stock\n{"at": "x"}',
    'get_stock {"at": "x"}',
    'Action: get_stock\nAction Input: {"at": "x"}',
    '[get_stock(at="x"), list_all()]',
    'get_stock(at="x',
    'stock.move(at="x")',
    'Let me look: get_stock(at="x")',
    'print(default_api.get_stock(at="x"))',
    '```json\n{"name": "get_stock", "arguments": {"at": "x"}}\n```',
    'I look.\n```tool_code\nget_stock(at="x")\n```',
    '```python\nstock = get_stock("x")\n```',
)


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_call_where_none_is_due_is_no_abstention(text: str) -> None:
    verdict = judge(SILENT, read_answer(text))
    assert (verdict.conforming, verdict.cause) == (False, Cause.NEEDLESS_CALL)
    assert judge(STOCK, read_answer(text)).cause is Cause.WRONG_FORMAT


@pytest.mark.parametrize(
    "text",
    [
        "None of the functions does that.",
        "I could use get_stock for that, but where?",
        "The function get_stock(at) needs a place; which one?",
        'You would call `get_stock(at="x")` for this, but I need your consent.',
        'Shall I run get_stock(at="x") now?',
        'Example:\n```python\nstock = get_stock("x")\nprint(stock)\n```\nThat is how it is used.',
        "I cannot call get_stock() without a place.",
        'A JSON for you:\n{"name": "Anna", "age": 5}',
        '{"name": "Bob"}',
        'Functions: [{"name": "get_stock", "description": "How many"}]',
        "Use <b>bold</b> tags; <function> is a word in XML.",
        "The `<parameter>` element of XSLT takes a name.",
        "1 < 2 and 3 > 2, no tool needed for tool calls.",
    ],
)
def test_words_and_code_that_mention_a_function_are_no_call(text: str) -> None:
    assert judge(SILENT, read_answer(text)).conforming
    assert judge(STOCK, read_answer(text)).cause is Cause.NO_CALL


@pytest.mark.parametrize(
    "piece",
    ["\n", "a = ", "a.", "get_stock(at=", '{"name": "x", ', "```\n", "<", '{"name": "', "get_stock {", "[", " "],
)
def test_hostile_text_is_searched_in_one_pass(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    foreign_form(f"{text}.", ("get_stock", "list_all"))


def test_a_good_call_does_not_hide_a_broken_one() -> None:
    good = written_call("get_stock", {"at": "x"})
    broken = '<tool_call>{"name": "get_stock", "parameters": {"at": "y"}}</tool_call>'
    assert judge(STOCK, read_answer(good)).conforming
    assert judge(STOCK, read_answer(f"{good}\n{broken}")).cause is Cause.WRONG_FORMAT
