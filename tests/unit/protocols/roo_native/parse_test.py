import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.protocols.roo_native.parse.calls import CallError, McpCall, TypedCall, parse_call
from services.protocols.roo_native.parse.mcp_names import name_alike, write_mcp_name
from services.protocols.roo_native.parse.values import number_of, read_json, write_json
from services.protocols.roo_native.tools import ALIASES, TOOLS


def typed(name: str, **arguments: Any) -> TypedCall:
    call = parse_call(name, json.dumps(arguments))
    assert isinstance(call, TypedCall)
    return call


def code(name: str, arguments: str) -> str:
    with pytest.raises(CallError) as caught:
        parse_call(name, arguments)
    return caught.value.code


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "a",}',
        "{'path': 'a'}",
        '{"path": NaN}',
        '{"path": Infinity}',
        '{"path": -Infinity}',
        '{"path": undefined}',
        '{"path": "a\nb"}',
        '{"path": "a\tb"}',
        '{"path": "\\x41"}',
        '{"path": "\\u12"}',
        '{"path": 01}',
        '{"path": 1.}',
        '{"path": .5}',
        '{"path": +1}',
        '{"path": 0x10}',
        '{"path": True}',
        '\ufeff{"path": "a"}',
        '\u00a0{"path": "a"}',
        '{"path": "a"} x',
        "\x00",
        " ",
        "[" * 100_000,
    ],
)
def test_text_that_json_parse_refuses_is_refused(arguments: str) -> None:
    assert code("read_file", arguments) == "bad_json"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (' \t\r\n{"path": "a"}\n', "a"),
        ('{"path": "a", "path": "b"}', "b"),
        ('{"path": "\\ud83d\\ude00"}', "😀"),
        ('{"path": "\\ud800"}', "\ud800"),
        ('{"path": "\\u0000"}', "\0"),
        ('{"path": "\u2028"}', "\u2028"),
        ('{"path": 1e2}', 100),
        ('{"path": 5.0}', 5),
        ('{"path": -0.5}', -0.5),
        ('{"path": 9007199254740993}', 9007199254740992),
        ('{"path": 1e999}', float("inf")),
    ],
)
def test_values_are_read_as_json_parse_reads_them(arguments: str, path: object) -> None:
    call = parse_call("read_file", arguments)
    assert isinstance(call, TypedCall)
    assert call.arguments == {"path": path}


@pytest.mark.parametrize("arguments", ["null", "[]", "5", '"x"', "true", '[{"path": "a"}]'])
def test_arguments_must_be_an_object(arguments: str) -> None:
    assert code("list_files", arguments) == "not_an_object"


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "", "Read_File", "read_file\n", "mcp_a_b"])
def test_names_that_are_no_tools(name: str) -> None:
    assert code(name, "{bad") == "unknown_tool"


def test_a_name_is_looked_at_before_the_json_and_the_json_before_the_servers_name() -> None:
    assert code("foo", "{bad") == "unknown_tool"
    assert code("mcp--a", "{bad") == "bad_json"
    assert code("mcp--a", "[]") == "bad_mcp_name"
    assert code("custom_tool", "[]") == "not_an_object"
    assert code("custom_tool", "{}") == "missing_key"


@pytest.mark.parametrize("tool", TOOLS)
def test_each_needed_key_must_be_there_but_may_be_null(tool: str) -> None:
    needed = {name: argument for name, argument in TOOLS[tool].arguments.items() if argument.need}
    full: dict[str, object] = {name: "x" if argument.need == "filled" else None for name, argument in needed.items()}
    assert set(typed(tool, **full).arguments) == set(needed)
    for name in needed:
        assert code(tool, json.dumps({key: value for key, value in full.items() if key != name})) == "missing_key"


@pytest.mark.parametrize("value", ["", None, 0, False, 0.0])
@pytest.mark.parametrize(("tool", "key"), [("execute_command", "command"), ("attempt_completion", "result")])
def test_command_and_result_must_be_more_than_empty(tool: str, key: str, value: object) -> None:
    assert code(tool, json.dumps({key: value})) == "missing_key"


@pytest.mark.parametrize("value", [[], {}, " ", "0", True, 1])
def test_what_counts_as_true_is_enough_for_a_command(value: object) -> None:
    assert typed("execute_command", command=value).arguments == {"command": value}


def test_unknown_keys_are_dropped_and_nulls_kept() -> None:
    call = parse_call("search_files", '{"path": "a", "regex": "b", "file_pattern": null, "__proto__": 1, "zzz": 2}')
    assert isinstance(call, TypedCall)
    assert call.arguments == {"path": "a", "regex": "b", "file_pattern": None}
    assert call.params == {"path": "a", "regex": "b", "file_pattern": "null"}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3, 3),
        (-2, -2),
        (2.5, 2.5),
        ("3", 3),
        (" 7\n", 7),
        ("", 0),
        ("0x1f", 31),
        ("0b11", 3),
        ("0o17", 15),
        ("1e3", 1000),
        (".5", 0.5),
        ("5.", 5),
        ("+5", 5),
        ("-5", -5),
        (-0.0, 0),
        ("9007199254740993", 2**53),
        (9007199254740993, 2**53),
        ("0x20000000000001", 2**53),
        (1e300, 1e300),
    ],
)
def test_numbers_are_coerced(value: object, found: object) -> None:
    assert typed("read_file", path="a", offset=value).arguments == {"path": "a", "offset": found}


@pytest.mark.parametrize("value", [None, True, [], [5], {}, "x", "12abc", "1_0", "-0x1", "Infinity", "NaN", "١"])
def test_what_is_no_finite_number_counts_as_absent(value: object) -> None:
    assert typed("read_file", path="a", offset=value, limit=value).arguments == {"path": "a"}


@pytest.mark.parametrize("value", ['"1e400"', "1e400", "-1e400", '"0x' + "f" * 300 + '"', "9" * 400])
def test_a_number_beyond_all_doubles_counts_as_absent(value: str) -> None:
    call = parse_call("read_file", f'{{"path": "a", "offset": {value}}}')
    assert isinstance(call, TypedCall)
    assert call.arguments == {"path": "a"}


@pytest.mark.parametrize(("value", "found"), [(True, True), (" TRUE ", True), ("False", False), ("\ufefftrue", True)])
def test_booleans_are_coerced(value: object, found: bool) -> None:
    assert typed("list_files", path="a", recursive=value).arguments["recursive"] is found


@pytest.mark.parametrize("value", [None, 1, 0, "yes", "", [True], {}])
def test_what_is_no_boolean_counts_as_absent(value: object) -> None:
    assert typed("list_files", path="a", recursive=value).arguments == {"path": "a"}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            {"anchor_line": "4", "max_levels": None, "include_header": "false", "zzz": 1},
            {"anchor_line": 4, "include_header": False},
        ),
        ({}, {}),
        ([1, 2], {}),
    ],
)
def test_indentation_is_coerced_key_by_key(value: object, found: object) -> None:
    assert typed("read_file", path="a", indentation=value).arguments["indentation"] == found


@pytest.mark.parametrize("value", [None, 0, "x", 5, True])
def test_indentation_that_is_no_object_counts_as_absent(value: object) -> None:
    assert typed("read_file", path="a", indentation=value).arguments == {"path": "a"}


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        ([[1, 20]], [[1, 20]]),
        ([["1", " 5 "]], [[1, 5]]),
        ([[1, 2, 3]], [[1, 2]]),
        ([[None, True]], [[0, 1]]),
        ([[[], [7]]], [[0, 7]]),
        ([["x", {}]], [[None, None]]),
        ([{"start": 1, "end": "3"}], [[1, 3]]),
        ([{"start": 1}], []),
        (["3-9", "3-9\n", " 3-9", "3", "3-", "a-b"], [[3, 9]]),
        ([[1], [], None, 5, True], []),
        ("1-5", []),
        ({"0": [1, 2]}, []),
        (None, []),
    ],
)
def test_ranges_of_the_older_form(ranges: object, found: object) -> None:
    files = [{"path": "a", "line_ranges": ranges}]
    assert typed("read_file", files=files).arguments == {"files": [{"path": "a", "line_ranges": found}]}
    assert typed("read_file", files=json.dumps(files)).arguments == {"files": [{"path": "a", "line_ranges": found}]}


@pytest.mark.parametrize("entry", ["a", 5, True, [], ["a"], {}, {"path": None}])
def test_an_entry_of_the_older_form_without_a_path(entry: object) -> None:
    assert typed("read_file", files=[entry]).arguments == {"files": [{"path": None, "line_ranges": []}]}


@pytest.mark.parametrize("files", [[], None, "", "[]", "{}", "x", 5, {"path": "a"}])
def test_without_files_of_the_older_form_the_path_counts(files: object) -> None:
    assert typed("read_file", files=files, path="b").arguments == {"path": "b"}
    assert code("read_file", json.dumps({"files": files})) == "missing_key"


def test_a_null_among_the_files_breaks_the_call() -> None:
    assert code("read_file", '{"files": [{"path": "a"}, null]}') == "missing_key"


@pytest.mark.parametrize(
    ("name", "server", "tool"),
    [
        ("mcp--a--b", "a", "b"),
        ("mcp__a__b", "a", "b"),
        ("mcp--a__b--c__d", "a", "b--c--d"),
        ("mcp---a--b", "-a", "b"),
        ("mcp--a---b", "a", "-b"),
        ("mcp--a----b", "a", "--b"),
        ("mcp--a--b--", "a", "b--"),
        ("mcp--a_b--c-d", "a_b", "c-d"),
        ("mcp--a___b", "a", "_b"),
    ],
)
def test_names_of_servers_tools(name: str, server: str, tool: str) -> None:
    assert parse_call(name, "") == McpCall(server, tool, {})


@pytest.mark.parametrize("name", ["mcp--", "mcp__", "mcp--a", "mcp__a_b", "mcp--a--", "mcp----b", "mcp--a__"])
def test_names_that_lack_a_server_or_a_tool(name: str) -> None:
    assert code(name, "{}") == "bad_mcp_name"


@pytest.mark.parametrize("arguments", ["null", "[1]", "5", '"x"', '{"a": {"b": 1}}'])
def test_a_servers_tool_takes_any_json(arguments: str) -> None:
    call = parse_call("mcp--a--b", arguments)
    assert isinstance(call, McpCall)
    assert call.arguments == json.loads(arguments)


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("my server", "get it", "mcp--my_server--get_it"),
        ("a--b", "c---d", "mcp--a-b--c-d"),
        ("1st", "-x", "mcp--_1st--_-x"),
        ("größe", "", "mcp--gre--_"),
        ("日本", "t", "mcp--_unnamed--t"),
        ("s" * 70, "t", "mcp--" + "s" * 59),
    ],
)
def test_servers_names_are_made_safe(server: str, tool: str, name: str) -> None:
    assert write_mcp_name(server, tool) == name


def test_a_name_is_found_by_itself_or_by_one_that_is_the_same_but_for_dashes() -> None:
    assert name_alike("get-forecast_now", ["other", "get_forecast-now", "get-forecast-now"]) == "get_forecast-now"
    assert name_alike("a_b", ["a-b", "a_b"]) == "a_b"
    assert name_alike("get forecast", ["get_forecast", "Get forecast"]) is None


@pytest.mark.parametrize(
    ("name", "server", "tool"),
    [
        ("mcp__a-__b", "a", "-b"),
        ("mcp--a-__b-c--d", "a", "-b-c--d"),
        ("mcp__a_-__b", "a_", "-b"),
        ("mcp__-a-__-b", "-a", "--b"),
        ("mcp___a-_b__c", "_a-_b", "c"),
        ("mcp__a__-", "a", "-"),
        ("mcp--a-_-_b--c", "a-_-_b", "c"),
    ],
)
def test_a_dash_before_the_seam_goes_to_the_tool(name: str, server: str, tool: str) -> None:
    assert parse_call(name, "") == McpCall(server, tool, {})


@pytest.mark.parametrize("name", ["mcp__-__b", "mcp---__b", "mcp__-__b--c", "mcp____-b", "mcp--a-_b"])
def test_a_server_that_is_only_a_dash_is_none(name: str) -> None:
    assert code(name, "{}") == "bad_mcp_name"


def test_calls_are_canonical_up_to_the_order_of_keys_and_blanks() -> None:
    one = parse_call("list_files", '{"path": "a", "recursive": true}')
    other = parse_call("list_files", '{\n"recursive": "true", "path": "a", "zzz": 5}')
    third = parse_call("list_files", '{"path": "a", "recursive": true, "reason": ""}')
    assert isinstance(one, TypedCall) and isinstance(other, TypedCall) and isinstance(third, TypedCall)
    assert one.canonical == other.canonical != third.canonical


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1.0), (None, 0.0), ([], 0.0), ([[7]], 7.0), (["0x10"], 16.0), ("-Infinity", float("-inf"))],
)
def test_numbers_of_odd_values(value: object, number: float) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize("value", [{}, [1, 2], [True], "abc", "--1"])
def test_values_that_are_no_number(value: object) -> None:
    assert number_of(value) != number_of(value)


def test_json_is_written_without_blanks_and_without_what_it_lacks() -> None:
    assert write_json({"b": [1.5, float("nan")], "a": "ü"}) == '{"b":[1.5,null],"a":"ü"}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(sorted({name for spec in TOOLS.values() for name in spec.arguments} | {"files", "zzz"}))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([*TOOLS, *ALIASES, "custom_tool", "mcp--a--b", "mcp__a"]) | st.text(max_size=8),
    st.dictionaries(keys, json_values, max_size=6).map(json.dumps) | st.text(max_size=40),
)
def test_every_call_is_typed_or_refused_with_a_code(name: str, arguments: str) -> None:
    try:
        call = parse_call(name, arguments)
    except CallError as bad:
        assert bad.code in ("unknown_tool", "bad_json", "bad_mcp_name", "not_an_object", "missing_key")
    else:
        assert isinstance(call, McpCall) or set(call.arguments) <= {*TOOLS[call.name].arguments, "files"}


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("tell", "{}", "unknown_tool: tell"),
        ("read_file", "{", "bad_json: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("read_file", '{"limit": NaN}', "bad_json: NaN is no JSON"),
        ("read_file", "[]", "not_an_object"),
        ("apply_diff", '{"path": "a"}', "missing_key: diff"),
        ("read_file", '{"files": [null]}', "missing_key: files"),
        ("mcp--alone", "{}", "bad_mcp_name: mcp--alone"),
        ("skill", "[" * 100_000, "bad_json: nested too deep"),
    ],
)
def test_an_error_names_its_place(name: str, arguments: str, sentence: str) -> None:
    with pytest.raises(CallError) as caught:
        parse_call(name, arguments)
    assert str(caught.value) == sentence
    assert caught.value.place == sentence.partition(": ")[2]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_arguments_may_be_nested_two_hundred_levels_deep(opening: str, closing: str) -> None:
    assert read_json(f"{opening * 200}1{closing * 200}")
    with pytest.raises(ValueError, match="nested deeper than 200 levels"):
        read_json(f"{opening * 201}1{closing * 201}")
    assert read_json("[" + ",".join(["[]"] * 300) + "]")


def test_infinity_is_a_number_as_text() -> None:
    assert number_of("-Infinity") == float("-inf")
