"""The schema that an answer of `/v1/chat/completions` is held to."""

import json
from functools import reduce
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from ui.openai.errors import OpenAIError
from ui.openai.held import schema_of
from ui.openai.schemas import ChatBody

PARAMETERS = {
    "$id": "https://example.com/weather",
    "type": "object",
    "properties": {"place": {"$ref": "#/$defs/Place"}},
    "required": ["place"],
    "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
LOOK = {"type": "function", "function": {"name": "look"}}
NAMED = {"type": "function", "function": {"name": "weather"}}
CALL = {"name": "weather", "arguments": {"place": {"city": "Oslo"}}}


DEEP: Any = reduce(lambda inner, _: {"items": inner}, range(300), {})


def _look(parameters: Any) -> Any:
    return {"type": "function", "function": {"name": "look", "parameters": parameters}}


def _body(**more: Any) -> ChatBody:
    return ChatBody.model_validate({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more})


@pytest.mark.parametrize(
    ("more", "answer", "fits"),
    [
        ({"tool_choice": NAMED}, CALL, True),
        ({"tool_choice": NAMED}, {"name": "look", "arguments": {}}, False),
        ({"tool_choice": NAMED}, {"name": "weather", "arguments": {"place": {}}}, False),
        ({"tool_choice": NAMED}, [CALL], False),
        ({"tool_choice": "required"}, {"name": "look", "arguments": {}}, True),
        ({"tool_choice": "required"}, [CALL, {"name": "look", "arguments": {}}], True),
        ({"tool_choice": "required"}, [], False),
        ({"tool_choice": "required", "parallel_tool_calls": False}, [CALL, CALL], False),
    ],
)
def test_a_required_call_is_one_of_the_functions(more: dict[str, Any], answer: Any, fits: bool) -> None:
    schema = json.loads(schema_of(_body(tools=[LOOK, WEATHER], **more)))
    assert jsonschema.Draft202012Validator(schema).is_valid(answer) is fits


def test_parts_are_referred_to_by_their_anchors_which_several_functions_may_share() -> None:
    def tool(name: str, kind: str) -> Any:
        place = {"$anchor": "place", "type": kind}
        parameters = {"properties": {"at": {"$ref": "#place"}}, "required": ["at"], "$defs": {"a/b": place}}
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    tools = [tool("word", "string"), tool("number", "integer")]
    validator = jsonschema.Draft202012Validator(json.loads(schema_of(_body(tools=tools, tool_choice="required"))))
    for at, fitting in (("here", "word"), (3, "number")):
        for name in ("word", "number"):
            assert validator.is_valid({"name": name, "arguments": {"at": at}}) is (name == fitting)
    lost = [_look({"properties": {"at": {"$ref": "#nowhere"}}})]
    with pytest.raises(OpenAIError, match="'#nowhere', but no part of them"):
        schema_of(_body(tools=lost, tool_choice="required"))


def test_json_is_any_object_or_what_the_schema_says() -> None:
    assert json.loads(schema_of(_body(response_format={"type": "json_object"}))) == {"type": "object"}
    asked = {"type": "json_schema", "json_schema": {"name": "place", "schema": PARAMETERS, "strict": True}}
    assert json.loads(schema_of(_body(response_format=asked))) == PARAMETERS


@pytest.mark.parametrize("more", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
def test_otherwise_an_answer_is_free(more: dict[str, Any]) -> None:
    assert not schema_of(_body(tools=[LOOK], response_format={"type": "text"}, **more))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools"}}, "other choices are not built"),
        ({"tools": [LOOK], "tool_choice": NAMED}, "'weather', which is none of the tools"),
        ({"tools": [LOOK], "response_format": {"type": "json_object"}}, "set tool_choice to none"),
        ({"response_format": {"type": "json_schema"}}, "need each other"),
        ({"n": 17}, "n\n"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {}}}, "or a function by its name"),
        ({"tools": [_look([1])], "tool_choice": "required"}, "valid dictionary"),
        ({"tools": [_look(DEEP)]}, "deeper than 100"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": DEEP}}}, "deeper than 100"),
        ({"n": 2, "store": True}, "leave n at 1"),
    ],
)
def test_what_excludes_another_is_refused_by_name(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _body(**more)
