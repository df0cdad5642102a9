"""Several runs case by case, and several training jobs over the same axes."""

from typing import Any

from drillyard.test_runner.v1.transcript_pb2 import Message
from drillyard.trainer.v1.checkpoint_pb2 import CurvePoint
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from drillyard.trainer.v1.training_spec_pb2 import TrainingJobSpec

from ui.comparisons.cases import Column, SideBySide, case_rows, columns_of, pieces_of
from ui.shared.charts import overlay_chart
from ui.shared.environment import render
from ui.test_runs.transcripts import AnswerView, TranscriptView, VerdictRow
from ui.training_jobs.comparing import comparison_of
from ui.training_jobs.views import training_job_view

HOSTILE = "<script>alert(1)</script>"


def _row(case_id: str, outcome: str, repeat: int = 0) -> VerdictRow:
    cause = "" if outcome == "conforming" else "wrong_arguments"
    return VerdictRow(f"t-{case_id}", case_id, "read_file", "c", outcome, cause, "Why.", repeat)


def _answer(before: str, failing: str = "", after: str = "") -> AnswerView:
    return AnswerView((), before, failing, after, (), "", "")


def _transcript(answer: AnswerView, outcome: str = "failed") -> TranscriptView:
    return TranscriptView(_row("a", outcome), [Message(role="user", content="Go.")], (answer,), [], "")


def test_where_runs_part_comes_first_and_what_all_answer_right_comes_last() -> None:
    first = [_row("right", "conforming"), _row("wrong", "failed"), _row("parted", "conforming"), _row("r", "failed", 1)]
    second = [_row("right", "conforming"), _row("wrong", "accepted"), _row("parted", "failed")]
    rows = case_rows([first, second])
    assert [row.case_id for row in rows] == ["parted", "wrong", "r #2", "right"]
    assert rows[2].cells[1] is None
    assert SideBySide(("e1", "e2"), rows).num_parted == 1


def test_an_answer_is_cut_where_it_differs_and_around_what_failed() -> None:
    pieces = pieces_of(_answer("read ", "b.txt now", " please"), "read a.txt now please")
    assert "".join(piece.text for piece in pieces) == "read b.txt now please"
    # With the blank before it.
    assert [piece.text for piece in pieces if piece.is_other] == [" ", "b"]
    assert "".join(piece.text for piece in pieces if piece.is_failing) == "b.txt now"
    assert not any(piece.is_other for piece in pieces_of(_answer("same"), None))
    assert pieces_of(_answer(""), "x") == ()


def test_the_first_answer_there_is_stands_as_it_is_and_nothing_is_run() -> None:
    columns = columns_of([None, _transcript(_answer(HOSTILE)), _transcript(_answer("other"))])
    assert columns[0] is None
    assert isinstance(columns[2], Column) and [piece.is_other for piece in columns[2].answers[0]] == [True]
    runs: Any = [{"subject": f"m@{number}", "test_run_id": f"run-{number}"} for number in range(3)]
    html = render("comparisons/columns", columns=list(zip(runs, columns, strict=True)))
    assert HOSTILE not in html and "&lt;script&gt;" in html and "<ins>other</ins>" in html
    assert "This run has no answer" in html


def test_curves_of_several_jobs_share_their_axes() -> None:
    chart = overlay_chart({"1": [(0, 0.0), (10, 4.0)], "2": [(5, 2.0), (20, float("nan"))]})
    assert [tick.label for tick in chart.x_ticks] == ["0", "5", "10"]
    assert [name for name, _ in chart.paths] == ["1", "2"]
    assert chart.points == "0,0.0,1 10,4.0,1 5,2.0,2"


def test_jobs_side_by_side_show_what_tells_them_apart() -> None:
    jobs = [
        training_job_view(
            TrainingJob(
                training_job_id=f"train-{rate}",
                spec=TrainingJobSpec(model_version_id="m@1", dataset_version_id="d@1", learning_rate=rate),
            ),
            [CurvePoint(metric="loss", step=step, value=rate * step) for step in (1, 2)],
        )
        for rate in (0.5, 0.25)
    ]
    comparison = comparison_of(jobs)
    assert [values for _, values in comparison.settings] == [("0.5", "0.25")]
    assert comparison.ends == (("Loss", ("1", "0.5")),)
    html = render("training_jobs/comparison", one=comparison)
    assert html.count('class="line series') == 2 and "train-0.25" in html
