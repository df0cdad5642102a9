"""`drillyard judge` and its neighbours: what is refused before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ui.cli.__main__ import app
from ui.cli.output import counted, print_table
from ui.cli.results import print_cases, print_measures

NOBODY = ["--url", "http://127.0.0.1:9"]


def told(*arguments: str, exit_code: int = 2, piped: bytes = b"") -> str:
    answer = CliRunner().invoke(app, [*arguments, *NOBODY], input=piped)
    assert answer.exit_code == exit_code
    return " ".join(answer.output.split())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"profile_id": "roo_xml", "case": {}}, "Line 3 has no answer"),
        ({"profile_id": 1, "case": {}, "answer": ""}, "Line 3 has no profile_id"),
        ({"profile_id": "roo_xml", "answer": ""}, "Line 3 has no case"),
    ],
)
def test_a_line_that_lacks_something_is_named_by_its_number(tmp_path: Path, line: object, problem: str) -> None:
    good = json.dumps({"profile_id": "roo_xml", "case": {}, "answer": ""})
    (tmp_path / "a.jsonl").write_text(f"{good}\n\n{json.dumps(line)}\n")
    assert problem in told("judge", str(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, end: str) -> None:
    # Line separators of Unicode may stand in JSON texts and end no line.
    good = json.dumps({"profile_id": "text", "case": {}, "answer": "a\u2028b\x85c"}, ensure_ascii=False)
    text = f"\ufeff{good}{end}{end}{good}{end}"
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8", newline="")
    assert "No gateway answers" in told("judge", str(tmp_path / "a.jsonl"), exit_code=1)
    assert "No gateway answers" in told("judge", "-", exit_code=1, piped=text.encode())


def test_a_file_of_answers_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    tasks, answers = tmp_path / "t.jsonl", tmp_path / "a.jsonl"
    tasks.write_text('{"id": "simple_0"}\n', encoding="utf-8")
    options = ("--id", "openai_tools/x", "--format", "bfcl", "--answers", str(answers))
    asked = ("test-suites", "import", str(tasks), *options)
    answers.write_bytes('{"id": "simple_0"}\n'.encode("utf-16"))
    assert "Line 1 of" in told(*asked)
    answers.write_text('\ufeff{"id": "simple_0", "ground_truth": []}\n\n', encoding="utf-8")
    assert "No gateway answers" in told(*asked, exit_code=1)
    (tmp_path / "u.jsonl").write_text("{}", encoding="utf-16")
    assert "perhaps UTF-16" in told("judge", str(tmp_path / "u.jsonl"))


def test_lines_without_end_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[" * 100_000)
    assert "Line 1 is no JSON" in told("judge", str(tmp_path / "a.jsonl"))


def test_an_empty_answer_is_an_answer() -> None:
    assert "The case is not named" in told("judge", "--answer", "")
    assert "nothing to judge" in told("judge")


def test_a_file_that_is_not_there_is_said_without_numbers_of_the_system() -> None:
    said = told("judge", "--case", "/nosuch", "--answer", "x")
    assert "/nosuch cannot be read: No such file or directory. Name" in said


@pytest.mark.parametrize("option", [["--rubric", "Be kind."], ["--against-reference"], ["--grader-url", "http://x"]])
def test_an_option_of_a_grader_needs_a_grader(option: list[str]) -> None:
    assert "Name it with --grader-model" in told("evaluations", "start", "run-1", *option)


def test_a_form_of_export_that_does_not_exist_is_refused_with_those_there_are() -> None:
    assert "inspect" in told("evaluations", "export", "eval-1", "--format", "pdf")


def test_an_empty_suite_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    assert "is empty" in told("test-suites", "validate", str(tmp_path / "a.jsonl"), "--profile", "text")


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]


def test_line_ends_in_a_cell_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ("a",), [("x\ny\x1b",)], empty="")
    assert "x\\ny\\x1b" in capsys.readouterr().out


def test_changed_cases_are_listed_and_of_many_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"tool": "edit", "cause_after": "no_call", "sentence": "No call."}
    print_cases("Lost cases", [{**change, "case_id": f"case-{place}"} for place in range(23)], "cause_after")
    out = capsys.readouterr().out
    assert "Lost cases (23)" in out and "case-19" in out and "case-20" not in out and "3 more" in out


def test_repeats_recovery_and_cost_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    interval = {"low": 0.1, "high": 0.9}
    repeat = {"pass_at_k": 0.75, "pass_hat_k": 0.25, "pass_at_k_interval": interval, "pass_hat_k_interval": interval}
    print_measures(
        {
            "overall": {"num_cases": 4},
            "by_repeats": [{"k": 1, **repeat}, {"k": 2, **repeat}],
            "flaky_rate": 0.5,
            "num_recovery_cases": 2,
            "recovery_rate": 0.5,
            "recovery_interval": interval,
            "mean_turns": 1.5,
            "usage": {"tokens_per_second": 30.25, "latency": {"p50": 1, "p95": 2, "p99": 3}, "num_prompt_tokens": "7"},
        }
    )
    out = " ".join(capsys.readouterr().out.split())
    for text in ("pass@2 75.0 % 10.0 to 90.0 %", "pass^2 25.0 %", "flaky cases 50.0 %", "50.0 % of 2", "1.50", "30.2"):
        assert text in out
    assert "1.00 / 2.00 / 3.00" in out and "7 / 0 / 0" in out
