import json

import pytest

from services.protocols.openai_tools.profile import OPERATIONS
from services.protocols.suites.vectors import FileReport, check_vectors

CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
GOOD = {
    "id": "v1",
    "family": "one",
    "input": {"text": f"Hi {CALL}"},
    "expected": {"text": "Hi", "calls": [{"name": "f", "arguments": '{"a": 1}'}]},
}


def checked(*lines: object, operation: str = "read", profile: str = "openai_tools") -> FileReport:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return check_vectors(b"\n".join(texts), profile_id=profile, operation=operation)


def changed(vector_id: str, **expected: object) -> dict[str, object]:
    return {**GOOD, "id": vector_id, "family": "two", "expected": {**GOOD["expected"], **expected}}  # type: ignore[dict-item]


def test_vectors_are_counted_by_family() -> None:
    report = checked(GOOD, changed("v2"), b"", changed("v3", text="Ho"))
    assert report.families == {"one": [1, 0], "two": [1, 1]}
    assert (report.num_passed, report.num_failed, report.unread) == (2, 1, [])


@pytest.mark.parametrize(
    ("expected", "place", "wanted", "got"),
    [
        ({"text": "Ho"}, "expected.text", '"Ho"', '"Hi"'),
        ({"calls": []}, "expected.calls.length", "0", "1"),
        ({"calls": [{"name": "f"}]}, "expected.calls[0].arguments", "nothing", '"{\\"a\\": 1}"'),
        ({"more": None}, "expected.more", "null", "nothing"),
        ({"text": ["Hi"]}, "expected.text", '["Hi"]', '"Hi"'),
    ],
)
def test_the_first_difference_is_told(expected: dict[str, object], place: str, wanted: str, got: str) -> None:
    (difference,) = checked(GOOD, changed("v2", **expected)).differences
    assert (difference.line, difference.vector_id) == (2, "v2")
    assert (difference.place, difference.expected, difference.got) == (place, wanted, got)


def test_true_is_not_one_but_numbers_are_equal_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(expected: object, got: object, operation: str = "read") -> bool:
        monkeypatch.setattr(
            "services.protocols.openai_tools.profile.OpenAiTools.vector_operations", {operation: lambda _: got}
        )
        return checked({**GOOD, "expected": expected}, operation=operation).num_passed == 1

    assert passes({"a": [1, 2.0]}, {"a": (1.0, 2)})
    assert passes({"a": 19007199254740990}, {"a": 19007199254740993.0})
    assert not passes({"a": 19007199254740990}, {"a": 19007199254741000.0})
    assert not passes({"a": 10**400}, {"a": 1e300})
    assert not passes({"a": 1}, {"a": True})
    assert not passes({"a": False}, {"a": 0})
    assert not passes({"a": "1"}, {"a": 1})
    assert passes({"failed": [{"similarity": 80}]}, {"failed": [{"similarity": 81}]}, "diff")
    assert passes({"failed": [{"similarity": 80}]}, {"failed": [{}]}, "diff")
    assert not passes({"failed": [{"similarity": 80}]}, {"failed": [{}]})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{nonsense", "not JSON"),
        (b'{"id": NaN}', "NaN is no JSON"),
        (b"\xff{}", "not JSON"),
        (b"[" * 200_000, "nested too deep"),
        (b"[]", "must be an object, not list"),
        (b"{}", "id is missing"),
        ({**GOOD, "family": 3}, "family must be text"),
        ({**GOOD, "input": "text"}, "input must be an object"),
        (GOOD, "the id 'v1' stands on line 1 too"),
        ({key: value for key, value in GOOD.items() if key != "expected"}, "expected is missing"),
    ],
)
def test_a_line_that_is_no_vector_is_named(line: object, problem: str) -> None:
    report = checked(GOOD, b"", line)
    (unread,) = report.unread
    assert unread.line == 3
    assert problem in unread.problem
    assert (report.num_passed, report.num_failed) == (1, 0)


def test_every_line_for_an_unknown_operation_or_profile_is_unread() -> None:
    report = checked(GOOD, changed("v2"), operation="sing")
    assert [line.line for line in report.unread] == [1, 2]
    assert "no operation 'sing'" in report.unread[0].problem
    assert ", ".join(OPERATIONS) in report.unread[0].problem
    assert "no profile 'nobody'" in checked(GOOD, profile="nobody").unread[0].problem


def test_an_operation_that_fails_on_its_input_fails_the_vector() -> None:
    (difference,) = checked({**GOOD, "input": {}}).differences
    assert difference.got == "KeyError: 'text'"


def test_a_byte_order_mark_is_no_part_of_the_first_vector() -> None:
    assert checked(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).num_passed == 1


def test_a_file_without_a_vector_is_unread() -> None:
    assert checked(b"\n\n").unread[0].problem == "the file holds no vector"


def test_the_judge_operation_reads_case_and_answer() -> None:
    case = {
        **dict.fromkeys(("case_id", "category", "mode", "template", "task", "reference"), "x"),
        "tool": "f",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "expected": {"tool": "f", "arguments": {"a": 1}},
    }
    vector = {
        "id": "j1",
        "family": "judge",
        "input": {"case": case, "answer": {"text": "", "calls": [{"name": "f", "arguments": '{"a": 2}'}]}},
        "expected": {"conforming": False, "accepted": True, "cause": "wrong_arguments"},
    }
    assert checked(vector, operation="judge").num_passed == 1
