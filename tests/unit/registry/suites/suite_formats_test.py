"""Files of other people's test cases as cases of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.openai_tools.parse import written_call
from services.protocols.profile import get_profile
from services.protocols.turn import Answer
from services.registry.domain.jsonl import OTHER_UNICODE, LineError
from services.registry.domain.suite_source import Conversion, SuiteFormat, read_cases
from services.registry.importers.suites import SUITE_READERS

OPENAI = get_profile("openai_tools")
BOOK = {
    "name": "library.reserve",
    "description": "Reserves a book.",
    "parameters": {
        "type": "dict",
        "properties": {
            "title": {"type": "string", "description": "Its title."},
            "copies": {"type": "integer", "default": 1},
            "weight": {"type": "float"},
            "span": {"type": "tuple", "items": {"type": "integer"}},
            "branch": {"type": "dict", "properties": {"town": {"type": "string"}, "desk": {"type": "any"}}},
        },
        "required": ["title"],
    },
}
RENEW = {"name": "renew", "parameters": {"type": "dict", "properties": {"card": {"type": "String"}}, "required": []}}


def task(case_id: str, *functions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    question = [[{"role": "user", "content": f"Please do {case_id}."}]]
    return {"id": case_id, "question": question, "function": list(functions or (BOOK, RENEW)), **changes}


def truth(case_id: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"id": case_id, "ground_truth": list(calls)}


def lines(path: Path, *documents: object) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in documents), encoding="utf-8")
    return path


def bfcl(folder: Path, tasks: list[Any], truths: list[Any]) -> list[Case | str]:
    content, answers = lines(folder / "tasks", *tasks), lines(folder / "answers", *truths)
    rows = SUITE_READERS[SuiteFormat.BFCL](content, Conversion(format=SuiteFormat.BFCL), answers)
    reading = read_cases(rows, "openai_tools", judges_references=True)
    cases = [case_from_document(json.loads(case.document)) for case in reading.cases]
    return [*cases, *(problem for _, problem in reading.problems)]


def one_case(folder: Path, *calls: dict[str, Any], case_id: str = "simple_0") -> Case:
    (case,) = bfcl(folder, [task(case_id)], [truth(case_id, *calls)])
    assert isinstance(case, Case), case
    return case


def conforms(case: Case, *calls: tuple[str, dict[str, Any]]) -> bool:
    answer = OPENAI.read_answer("\n".join(written_call(name, arguments) for name, arguments in calls))
    return OPENAI.judge(case, answer).conforming


def test_types_become_those_of_json_schema(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"library.reserve": {"title": ["Emma"]}})
    function = dict(case.tools[0])["function"]
    schema = function["parameters"]  # type: ignore[index]
    assert (schema["type"], schema["required"]) == ("object", ["title"])
    types = {name: entry.get("type") for name, entry in schema["properties"].items()}
    assert types == {"title": "string", "copies": "integer", "weight": "number", "span": "array", "branch": "object"}
    assert schema["properties"]["branch"]["properties"] == {"town": {"type": "string"}, "desk": {}}
    assert schema["properties"]["span"]["items"] == {"type": "integer"}


def test_each_allowed_value_is_right_and_others_are_not(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"library.reserve": {"title": ["Emma", "Emma, a novel"], "copies": [2], "weight": [1.5]}})
    right = {"title": "Emma", "copies": 2, "weight": 1.5}
    assert conforms(case, ("library.reserve", right))
    assert conforms(case, ("library.reserve", {**right, "title": "emma a  Novel"}))
    assert not conforms(case, ("library.reserve", {**right, "title": "Persuasion"}))
    assert not conforms(case, ("library.reserve", {**right, "copies": 3}))
    assert not conforms(case, ("library.reserve", {"title": "Emma", "weight": 1.5}))
    assert not conforms(case, ("library.reserve", {**right, "span": [1]}))


def test_an_empty_text_among_the_values_makes_an_argument_optional(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"library.reserve": {"title": ["Emma"], "copies": [1, ""], "span": ["", [1, 2]]}})
    assert conforms(case, ("library.reserve", {"title": "Emma"}))
    assert conforms(case, ("library.reserve", {"title": "Emma", "copies": 1, "span": [1, 2]}))
    assert not conforms(case, ("library.reserve", {"title": "Emma", "span": [2, 1]}))
    assert OPENAI.judge(case, OPENAI.read_answer(case.reference)).conforming


def test_an_empty_text_alone_is_the_value(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"renew": {"card": [""]}})
    assert conforms(case, ("renew", {"card": ""}))
    assert conforms(case, ("renew", {}))
    assert not conforms(case, ("renew", {"card": "7"}))


def test_entries_of_an_object_are_lists_of_allowed_values(tmp_path: Path) -> None:
    branch = {"town": ["Bath", "City of Bath"], "desk": ["", 4]}
    case = one_case(tmp_path, {"library.reserve": {"title": ["Emma"], "branch": [branch]}})
    for given in ({"town": "Bath"}, {"town": "City of Bath", "desk": 4}):
        assert conforms(case, ("library.reserve", {"title": "Emma", "branch": given}))
    assert not conforms(case, ("library.reserve", {"title": "Emma", "branch": {"town": "Bath", "desk": 5}}))
    assert not conforms(case, ("library.reserve", {"title": "Emma", "branch": {"desk": 4}}))


ROOM = {
    "name": "room.search",
    "parameters": {
        "type": "dict",
        "properties": {
            "city": {"type": "string"},
            "floor": {"type": "integer"},
            "price": {"type": "float"},
            "breakfast": {"type": "boolean"},
            "note": {"type": "string", "enum": ["none"]},
            "beds": {"type": "array", "items": {"type": "dict"}},
            "guests": {"type": "dict"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
    },
}
ROOMS = {
    "city": ["Bern"],
    "floor": ["", None],
    "price": ["", None, 80],
    "breakfast": ["", False],
    "note": ["the guest wrote 'quiet'", ""],
    "beds": ["", [{"size": ["king", "queen"], "with": ["", ["a", "b"]]}, {"size": [90]}]],
    "guests": ["", {"lead": ["Ann"], "age": [30, ""], "seat": [{"row": 4}, {"row": [5, 6]}]}],
    "tags": ["", ["Quiet", "by-the-lake"]],
}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ({}, True),
        ({"floor": None, "price": None, "breakfast": False}, True),
        ({"floor": 0}, False),
        ({"price": 80.0}, True),
        ({"price": 0}, False),
        ({"price": False}, False),
        ({"breakfast": True}, False),
        ({"breakfast": None}, False),
        ({"breakfast": 0}, False),
        ({"note": 'The guest wrote "quiet"'}, True),
        ({"note": "the guest, wrote *quiet*"}, False),
        ({"note": ""}, True),
        ({"floor": ""}, False),
        ({"city": "bern."}, True),
        ({"city": ""}, False),
        ({"beds": []}, True),
        ({"beds": [{"size": "KING"}, {"size": 90}]}, True),
        ({"beds": [{"size": "queen", "with": ["a", "b"]}, {"size": 90.0}]}, True),
        ({"beds": [{"size": "king", "with": ""}, {"size": 90}]}, True),
        ({"beds": [{"size": 90}, {"size": "king"}]}, False),
        ({"beds": [{"size": "king"}]}, False),
        ({"beds": [{"size": "king", "with": ["b", "a"]}, {"size": 90}]}, False),
        ({"guests": {"lead": "ann", "seat": {"row": 4}}}, True),
        ({"guests": {"lead": "Ann", "age": 30, "seat": {"row": 6}}}, True),
        ({"guests": {"lead": "Ann", "age": 31, "seat": {"row": 4}}}, False),
        ({"guests": {"lead": "Ann", "seat": {"row": 7}}}, False),
        ({"guests": {"lead": "Ann"}}, False),
        ({"guests": {"lead": "Ann", "seat": {"row": 4}, "more": 1}}, False),
        ({"guests": {}}, False),
        ({"tags": ["quiet", "by the lake"]}, True),
        ({"tags": ["by-the-lake", "Quiet"]}, False),
        ({"tags": "Quiet"}, False),
        ({"wifi": None}, True),
        ({"wifi": True}, False),
    ],
)
def test_possible_answers_are_taken_as_the_leaderboard_takes_them(
    tmp_path: Path, said: dict[str, Any], right: bool
) -> None:
    (case,) = bfcl(tmp_path, [task("simple_0", ROOM)], [truth("simple_0", {"room.search": ROOMS})])
    assert isinstance(case, Case), case
    assert case_from_document(case_to_document(case)) == case
    assert conforms(case, ("room.search", {"city": "Bern", "note": "", **said})) is right


def test_a_default_that_the_answers_do_not_allow_to_leave_out_is_said(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"library.reserve": {"title": ["Emma"], "copies": [1]}})
    assert conforms(case, ("library.reserve", {"title": "Emma", "copies": 1}))
    assert not conforms(case, ("library.reserve", {"title": "Emma"}))


def test_what_answers_allow_decides_before_the_schema(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"renew": {"card": [7, None]}})
    assert conforms(case, ("renew", {"card": 7})) and conforms(case, ("renew", {"card": None}))
    verdict = OPENAI.judge(case, OPENAI.read_answer(written_call("renew", {"card": 8})))
    assert (verdict.cause, verdict.accepted) == ("bad_value", False)


def test_where_none_is_relevant_there_may_be_no_function(tmp_path: Path) -> None:
    (case,) = bfcl(tmp_path, [{**task("live_irrelevance_1"), "function": []}], [truth("other", {"renew": {}})])
    assert isinstance(case, Case) and case.tools == ()
    assert OPENAI.judge(case, Answer("I cannot.")).conforming
    assert OPENAI.messages(case, "full")


def test_parallel_calls_are_due_in_any_order(tmp_path: Path) -> None:
    case = one_case(tmp_path, {"renew": {"card": ["1"]}}, {"renew": {"card": ["2"]}}, case_id="parallel_3")
    first, second = ("renew", {"card": "1"}), ("renew", {"card": "2"})
    assert (case.category, case.tool, len(case.expected.due)) == ("parallel", "renew", 2)
    assert conforms(case, first, second) and conforms(case, second, first)
    assert not conforms(case, first)
    assert not conforms(case, first, first)


def test_no_call_is_due_where_none_is_relevant(tmp_path: Path) -> None:
    (case,) = bfcl(tmp_path, [task("live_irrelevance_7-0-1")], [truth("other_1", {"renew": {}})])
    assert isinstance(case, Case)
    assert (case.category, case.expected.no_call) == ("live_irrelevance", True)
    assert OPENAI.judge(case, OPENAI.read_answer(case.reference)).conforming
    assert not conforms(case, ("renew", {}))


def test_a_line_may_hold_its_own_answer(tmp_path: Path) -> None:
    (case,) = bfcl(tmp_path, [{**task("simple_0"), "ground_truth": [{"renew": {}}]}], [truth("simple_0", {"fly": {}})])
    assert isinstance(case, Case) and case.tool == "renew"


def test_a_system_message_stands_before_the_task(tmp_path: Path) -> None:
    question = [[{"role": "system", "content": "Today is Monday."}, {"role": "user", "content": "Renew."}]]
    (case,) = bfcl(tmp_path, [task("simple_0", question=question)], [truth("simple_0", {"renew": {}})])
    assert isinstance(case, Case) and case.task == "Today is Monday.\n\nRenew."


@pytest.mark.parametrize(
    ("changes", "answer", "problem"),
    [
        ({}, None, "has no possible answer"),
        ({"question": [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]}, {}, "several turns"),
        ({"question": [[{"role": "assistant", "content": "a"}]]}, {}, "answers in it"),
        ({"question": [[{"role": "user", "content": None}]]}, {}, "without text"),
        ({"function": []}, {}, "is no task"),
        ({"id": 7}, {}, "is no task"),
        ({"function": [{"parameters": {}}]}, {}, r"function[0] without a name"),
        ({"function": [RENEW, RENEW]}, {}, "name of an earlier function"),
        ({"function": [BOOK, {**RENEW, "name": "library_reserve"}]}, {}, "would both be sent as 'library_reserve'"),
        ({}, {"fly": {}}, "offers no function 'fly'"),
        ({}, {"renew": {"card": "1"}}, "no list of allowed values"),
        ({}, {"renew": {"card": []}}, "no list of allowed values"),
        ({}, {"library.reserve": {"copies": [1]}}, "whose own reference does not conform: library.reserve lacks"),
        ({}, "renew(card=1)", "are not objects"),
    ],
)
def test_a_task_that_is_no_case_says_why(tmp_path: Path, changes: dict[str, Any], answer: Any, problem: str) -> None:
    call = {"renew": {}} if answer == {} else answer
    truths = [] if answer is None else [truth("simple_0", call)]
    (found,) = bfcl(tmp_path, [{**task("simple_0"), **changes}], truths or [truth("other", {})])
    assert isinstance(found, str) and problem in found


def prompts(path: Path, content: str | bytes, **options: Any) -> list[tuple[int, Case | str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = SUITE_READERS[SuiteFormat.PROMPTS](path, Conversion(format=SuiteFormat.PROMPTS, **options), None)
    return [
        (number, str(row) if isinstance(row, LineError) else case_from_document(row.document)) for number, row in rows
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "answer": "4"},
        {"input": "2+2?", "target": 4},
        {"question": "2+2?", "answers": ["4"]},
        {"input": [{"role": "user", "content": "2+2?"}], "ideal": ["4"]},
    ],
)
def test_prompts_and_answers_have_many_names(tmp_path: Path, row: dict[str, Any]) -> None:
    ((number, case),) = prompts(tmp_path / "f", json.dumps(row))
    assert isinstance(case, Case) and case.scoring
    assert (number, case.case_id, case.task, case.scoring.targets) == (1, "line-1", "2+2?", ("4",))
    get_profile("text").check_case(case)
    assert get_profile("text").judge(case, Answer("4")).conforming


def test_a_row_may_name_its_id_category_scorer_and_system_message(tmp_path: Path) -> None:
    row = {"id": "a", "category": "sums", "system": "Be brief.", "prompt": "2+2?", "answer": "four", "scorer": "f1"}
    ((_, case),) = prompts(tmp_path / "f", json.dumps(row), scorer="contains", threshold=0.5)
    assert isinstance(case, Case) and case.scoring
    assert (case.case_id, case.category, case.prompt) == ("a", "sums", (("system", "Be brief."),))
    assert (case.scoring.scorer, case.scoring.threshold) == ("f1", 0.5)


def test_a_table_with_a_header_is_read_as_csv(tmp_path: Path) -> None:
    content = '\ufeffid,question,answer\na,"Two,\nand two?",4\nb,Three?,3,extra\nc,Four?,4\n'
    found = prompts(tmp_path / "f", content)
    assert [number for number, _ in found] == [3, 4, 5]
    cases = [case for _, case in found]
    assert isinstance(cases[0], Case) and cases[0].task == "Two,\nand two?"
    assert cases[1] == "has not as many fields as the header"
    assert isinstance(cases[2], Case) and cases[2].case_id == "c"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"prompt": "x"}', "has no answer; one of answer"),
        ('{"prompt": "x", "input": "y", "answer": "z"}', "has prompt and input"),
        ('{"prompt": 5, "answer": "z"}', "neither text nor a list of messages"),
        ('{"prompt": [{"role": "robot"}], "answer": "z"}', "no role that is known"),
        ('{"prompt": [{"role": "assistant", "content": "x"}], "answer": "z"}', "does not end with the user"),
        ('{"prompt": "x", "answer": {"a": 1}}', "neither text nor a list of texts"),
        ('{"prompt": "x", "answer": [" ", ""]}', "answer that is blank"),
        ('{"prompt": "x", "answer": "z", "category": 5}', "a category that is not text"),
        ("prompt,answer\n\xff\xfe", "is not UTF-8"),
        ('prompt,answer\n"x', "is not CSV"),
        ("a,b\n1,2\n", "has no prompt"),
        (f"prompt,answer\n{'x' * 200_000},y\n", "field larger than field limit"),
    ],
)
def test_a_row_that_is_no_prompt_says_why(tmp_path: Path, content: str, problem: str) -> None:
    raw = content.encode("latin-1")
    found = prompts(tmp_path / "f", raw)
    assert problem in str(found[-1][1])


def test_prompts_for_a_grader_need_no_answer(tmp_path: Path) -> None:
    ((_, case),) = prompts(tmp_path / "f", '{"prompt": "Tell a story."}', scorer="none")
    assert isinstance(case, Case)
    get_profile("text").check_case(case)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_with_a_byte_order_mark_are_read_as_those_without(tmp_path: Path, mark: str, end: str) -> None:
    ((_, one),) = prompts(tmp_path / "f", f'{mark}{{"prompt": "2+2?", "answer": "4"}}{end}')
    ((_, other),) = prompts(tmp_path / "f", f"{mark}prompt,answer{end}2+2?,4{end}")
    assert isinstance(one, Case) and isinstance(other, Case) and one.task == other.task == "2+2?"
    for name, document in (("t", task("simple_0", RENEW)), ("a", truth("simple_0", {"renew": {"card": ["1"]}}))):
        (tmp_path / name).write_text(f"{mark}{json.dumps(document)}{end}", encoding="utf-8", newline="")
    conversion = Conversion(format=SuiteFormat.BFCL)
    ((_, row),) = SUITE_READERS[SuiteFormat.BFCL](tmp_path / "t", conversion, tmp_path / "a")
    assert not isinstance(row, LineError) and row.document["tool"] == "renew"
    (tmp_path / "c").write_text(f"{mark}{json.dumps(row.document)}{end}", encoding="utf-8", newline="")
    ((_, again),) = SUITE_READERS[SuiteFormat.CASES](tmp_path / "c", Conversion(), None)
    assert again == row


@pytest.mark.parametrize("text", ['{"prompt": "x", "answer": "y"}\n', "prompt,answer\nx,y\n"])
def test_prompts_in_another_encoding_are_named(tmp_path: Path, text: str) -> None:
    assert prompts(tmp_path / "f", text.encode("utf-16")) == [(1, OTHER_UNICODE)]
