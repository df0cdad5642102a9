import json

import pytest

from services.protocols.cases import Case, Choice, Expected, FreeText
from services.protocols.openai_tools.judge import judge
from services.protocols.openai_tools.parse import read_answer, written_call
from services.protocols.turn import Answer, ToolCall
from services.protocols.verdict import Cause, LayerName, LayerStatus, Verdict


def function(name: str, properties: dict[str, object], required: list[str], **more: object) -> dict[str, object]:
    schema = {"type": "object", "properties": properties, "required": required, **more}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


TOOLS = (
    function(
        "paint",
        {
            "wall": {"type": "string"},
            "coats": {"type": "integer", "minimum": 1, "default": 1},
            "mix": {"type": "object", "properties": {"red": {"type": "number"}}, "required": ["red"]},
            "dry": {"type": "boolean"},
        },
        ["wall"],
    ),
    function("sweep", {"room": {"type": "string", "enum": ["hall", "attic"]}}, ["room"], additionalProperties=False),
)


def a_case(expected: Expected) -> Case:
    return Case("c", "k", expected.tool, "", "Do it.", expected, "t", "r", tools=TOOLS)


PAINT = a_case(Expected("paint", {"wall": "north", "coats": 2}))
BOTH = a_case(Expected("paint", {"wall": "north"}, further=(Expected("sweep", {"room": "hall"}),)))
SILENT = a_case(Expected("no_call", no_call=True))


def call(name: str, /, **arguments: object) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def judged(case: Case, *calls: ToolCall, text: str = "") -> Verdict:
    return judge(case, Answer(text, calls))


def failed(verdict: Verdict) -> list[LayerName]:
    return [layer.name for layer in verdict.layers if layer.status is LayerStatus.FAILED]


def score(verdict: Verdict, name: LayerName) -> float | None:
    return next(layer.score for layer in verdict.layers if layer.name is name)


@pytest.mark.parametrize("arguments", [{"coats": 2}, {"coats": 2.0}])
def test_the_right_call_conforms(arguments: dict[str, object]) -> None:
    verdict = judged(PAINT, call("paint", wall=" north ", **arguments), text="I paint.")
    assert (verdict.conforming, verdict.accepted, verdict.well_formed) == (True, True, True)
    assert (verdict.cause, verdict.tool) == (None, "paint")


@pytest.mark.parametrize(
    ("calls", "cause", "layer", "accepted"),
    [
        ((), Cause.NO_CALL, LayerName.CALL_PRESENT, False),
        ((ToolCall("paint", "{wall}"),), Cause.WRONG_FORMAT, LayerName.PARSES, False),
        ((ToolCall("paint", "[1]"),), Cause.WRONG_FORMAT, LayerName.PARSES, False),
        ((ToolCall("paint", '{"wall": NaN}'),), Cause.WRONG_FORMAT, LayerName.PARSES, False),
        ((ToolCall("paint", "[" * 100_000),), Cause.WRONG_FORMAT, LayerName.PARSES, False),
        ((ToolCall("paint", '{"a":' * 100_000),), Cause.WRONG_FORMAT, LayerName.PARSES, False),
        ((call("dance"),), Cause.UNKNOWN_TOOL, LayerName.KNOWN_TOOL, False),
        ((ToolCall("", "{}"),), Cause.UNKNOWN_TOOL, LayerName.KNOWN_TOOL, False),
        ((ToolCall("paint", ""),), Cause.MISSING_PARAMETER, LayerName.REQUIRED_PARAMETERS, False),
        ((call("paint", coats=2),), Cause.MISSING_PARAMETER, LayerName.REQUIRED_PARAMETERS, False),
        ((call("paint", wall=5),), Cause.BAD_VALUE, LayerName.VALID_VALUES, False),
        ((call("paint", wall="north", coats="2"),), Cause.BAD_VALUE, LayerName.VALID_VALUES, False),
        ((call("paint", wall="north", mix={}),), Cause.BAD_VALUE, LayerName.VALID_VALUES, False),
        ((call("sweep", room="roof"),), Cause.BAD_VALUE, LayerName.VALID_VALUES, False),
        ((call("sweep", room="hall"),), Cause.WRONG_TOOL, LayerName.RIGHT_TOOL, True),
        ((call("paint", wall="south", coats=2),), Cause.WRONG_ARGUMENTS, LayerName.RIGHT_ARGUMENTS, True),
        ((call("paint", wall="north"),), Cause.WRONG_ARGUMENTS, LayerName.RIGHT_ARGUMENTS, True),
        ((call("paint", wall="north", coats=2, dry=True),), Cause.WRONG_ARGUMENTS, LayerName.RIGHT_ARGUMENTS, True),
        ((call("paint", wall="north", coats=2, x=1),), Cause.WRONG_ARGUMENTS, LayerName.RIGHT_ARGUMENTS, True),
        ((call("paint", wall="north", coats=2),) * 2, Cause.NEEDLESS_CALL, LayerName.NO_NEEDLESS_CALL, True),
    ],
)
def test_each_fault_has_its_layer_and_cause(
    calls: tuple[ToolCall, ...], cause: Cause, layer: LayerName, accepted: bool
) -> None:
    verdict = judged(PAINT, *calls)
    assert (verdict.cause, failed(verdict)[0], verdict.accepted) == (cause, layer, accepted)
    assert not verdict.conforming
    assert verdict.sentence.endswith(".")
    assert [layer.name for layer in verdict.layers] == list(LayerName)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (" \n", Cause.NO_CALL),
        ("I paint the wall.", Cause.NO_CALL),
        ('{"name": "paint", "arguments": {}}', Cause.WRONG_FORMAT),
        ('<invoke name="paint">', Cause.WRONG_FORMAT),
        ("<paint>north</paint>", Cause.WRONG_FORMAT),
        ("paint(wall='north')", Cause.WRONG_FORMAT),
        ("[TOOL_CALLS] paint", Cause.WRONG_FORMAT),
        ("<tool_call>{oops}</tool_call>", Cause.WRONG_FORMAT),
        ("repaint(ing) it", Cause.NO_CALL),
    ],
)
def test_an_answer_without_a_call_says_why(text: str, cause: Cause) -> None:
    assert judge(PAINT, read_answer(text)).cause is cause


def test_the_token_limit_is_told_from_a_fault_of_form() -> None:
    whole = written_call("paint", {"wall": "north", "coats": 2})
    assert judge(PAINT, read_answer(f"I paint. {whole}")).conforming
    assert judge(PAINT, read_answer(whole[:-30])).cause is Cause.WRONG_FORMAT
    assert judge(PAINT, read_answer(whole[:-30], "length")).cause is Cause.TRUNCATED_BY_LIMIT
    assert judge(PAINT, read_answer("I paint. <tool_c", "length")).cause is Cause.TRUNCATED_BY_LIMIT
    assert judge(PAINT, read_answer("I paint, as", "length")).cause is Cause.NO_CALL


def test_the_span_is_that_of_the_guilty_call_in_the_text() -> None:
    good, bad = written_call("paint", {"wall": "north"}), written_call("sweep", {"room": "roof"})
    text = f"First {good} then {bad} done"
    layer = next(one for one in judge(BOTH, read_answer(text)).layers if one.status is LayerStatus.FAILED)
    assert layer.span is not None
    assert text[slice(*layer.span)] == bad
    assert layer.score == 0.5


def test_several_due_calls_may_come_in_any_order() -> None:
    paint, sweep = call("paint", wall="north"), call("sweep", room="hall")
    assert judged(BOTH, paint, sweep).conforming
    assert judged(BOTH, sweep, paint).conforming
    one = judged(BOTH, sweep)
    assert (one.cause, score(one, LayerName.RIGHT_TOOL)) == (Cause.WRONG_TOOL, 0.5)
    assert judged(BOTH, sweep, paint, paint).cause is Cause.NEEDLESS_CALL


def test_each_due_call_is_matched_once_and_whole_matches_go_first() -> None:
    case = a_case(Expected("paint", {"wall": "a"}, further=(Expected("paint", {"wall": "b"}),)))
    assert judged(case, call("paint", wall="b"), call("paint", wall="a")).conforming
    assert judged(case, call("paint", wall="a"), call("paint", wall="a")).cause is Cause.WRONG_ARGUMENTS
    near = judged(case, call("paint", wall="b", coats=3), call("paint", wall="a"))
    assert (near.cause, score(near, LayerName.RIGHT_ARGUMENTS)) == (Cause.WRONG_ARGUMENTS, 0.75)


def test_an_argument_may_have_several_right_values_or_be_absent() -> None:
    expected = Expected("paint", {"wall": "north"}, choices=(Choice("wall", ("N",)), Choice("dry", (True,), True)))
    case = a_case(expected)
    assert judged(case, call("paint", wall="N")).conforming
    assert judged(case, call("paint", wall="north", dry=True)).conforming
    assert judged(case, call("paint", wall="north", coats=1)).conforming
    assert not judged(case, call("paint", wall="north", dry=False)).conforming
    assert not judged(case, call("paint", wall="south")).conforming


def test_free_text_follows_its_rule() -> None:
    case = a_case(Expected("paint", {"wall": "x"}, free_text=(FreeText("wall", ("north",)),)))
    assert judged(case, call("paint", wall="the north one")).conforming
    assert judged(case, call("paint", wall="northern")).cause is Cause.WRONG_ARGUMENTS


def test_where_no_call_is_due_plain_text_conforms() -> None:
    verdict = judged(SILENT, text="Nothing to do.")
    assert (verdict.conforming, verdict.accepted, verdict.well_formed, verdict.tool) == (True, True, True, None)
    asks = a_case(Expected("no_call", no_call=True, free_text=(FreeText("answer", question=True),)))
    assert judged(asks, text="Which wall?").conforming
    assert judged(asks, text="No.").cause is Cause.WRONG_RESULT
    assert judged(SILENT).cause is Cause.WRONG_RESULT


@pytest.mark.parametrize("text", ["<tool_call>{}</tool_call>", "paint(1)", written_call("sweep", {"room": "hall"})])
def test_where_no_call_is_due_every_call_is_needless(text: str) -> None:
    verdict = judge(SILENT, read_answer(text))
    assert (verdict.cause, failed(verdict)) == (Cause.NEEDLESS_CALL, [LayerName.NO_NEEDLESS_CALL])


@pytest.mark.parametrize("text", ["\0", "\ud800", "a" * 100_000_000, "<tool_call>" * 90_000, "<" * 500_000])
def test_hostile_answers_end_in_a_verdict(text: str) -> None:
    for case in (PAINT, SILENT):
        assert judge(case, read_answer(text)).layers


def test_hostile_arguments_end_in_a_verdict() -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    assert judged(PAINT, ToolCall("paint", json.dumps({"wall": deep}))).cause in (Cause.BAD_VALUE, Cause.WRONG_FORMAT)
    assert judged(PAINT, ToolCall("paint", "9" * 5_000)).cause is Cause.WRONG_FORMAT
    assert judged(PAINT, call("paint", wall="a\0\ud800")).cause is Cause.WRONG_ARGUMENTS
    assert judged(PAINT, *[call("sweep", room="hall")] * 3_000).cause is Cause.WRONG_TOOL


@pytest.mark.parametrize("schema", [{"$ref": "#/nowhere"}, {"properties": {"x": {"pattern": "("}}}])
def test_a_schema_that_cannot_be_used_is_named(schema: dict[str, object]) -> None:
    tool = {"type": "function", "function": {"name": "odd", "parameters": schema}}
    case = Case("c", "k", "odd", "", "Do it.", Expected("odd", {"x": "1"}), "t", "r", tools=(tool,))
    verdict = judged(case, call("odd", x="1"))
    assert (verdict.cause, verdict.accepted) == (Cause.BAD_VALUE, False)
    assert "the schema cannot be used" in verdict.sentence


def test_a_schema_that_never_ends_is_a_bad_value_not_a_crash() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}
    tool = {"type": "function", "function": {"name": "odd", "parameters": schema}}
    case = Case("c", "k", "odd", "", "Do it.", Expected("odd"), "t", "r", tools=(tool,))
    assert judged(case, call("odd")).cause is Cause.BAD_VALUE


def test_a_long_complaint_is_cut() -> None:
    assert len(judged(PAINT, call("paint", wall=["x" * 5_000])).sentence) < 300
