"""Exports: every form whole, escaped, and good for the program that reads it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from drillyard.evaluator.v1.export_pb2 import EXPORT_FORMAT_CSV, ExportEvaluationRequest

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.evaluator.convert import format_from_proto
from services.evaluator.domain.evaluation import ExportFact, ExportFormat
from services.evaluator.exports.verdict_lists import escaped
from services.protocols.cases import Case
from services.protocols.suites.dataset_row import DatasetRow
from tests.unit.evaluator.bench import CASES, PROFILE, Bench, subject, transcript

NASTY = "</pre><script>alert(1)</script>\u202e{{ 7 * 7 }} \x1b[31m"


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.marked: list[str] = []
        self._in_mark = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "mark":
            self.marked.append("")
            self._in_mark = True

    def handle_endtag(self, tag: str) -> None:
        self._in_mark = self._in_mark and tag != "mark"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_mark:
            self.marked[-1] += data


async def exported(
    bench: Bench, evaluation_id: str, form: ExportFormat, *, before: str = "", facts: tuple[ExportFact, ...] = ()
) -> str:
    file = await bench.exports.export(evaluation_id, form, before_evaluation_id=before, facts=facts)
    return b"".join([chunk async for chunk in file.chunks]).decode()


async def evaluated(bench: Bench, answers: dict[int, str], run_id: str = "run-1") -> str:
    """Evaluate a run whose answers are right but for these, by their 0-based place."""
    bench.runs.add(subject(run_id))
    for place, case in enumerate(CASES):
        text = answers.get(place, PROFILE.reference_answer(case))
        bench.runs.transcripts[run_id].append(transcript(place + 1, f"{run_id}-{place + 1}", case, text))
    bench.runs.finish(run_id)
    created = await bench.evaluations.create(f"of {run_id}", run_id)
    await bench.work(created.job.job_id)
    return created.job.job_id


def trailing(case: Case) -> str:
    return f"{PROFILE.reference_answer(case)}\n\nAnything <b>else</b>?"


async def test_json_holds_provenance_metrics_and_every_verdict() -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject(), wrong=(2, 5))
    found = json.loads(await exported(bench, evaluation_id, ExportFormat.JSON))
    assert found["evaluation_id"] == evaluation_id
    assert found["provenance"]["profile_digest"] == PROFILE.digest
    assert found["provenance"]["library_versions"]["drillyard"]
    assert found["metrics"]["by_cause"] == {"no_call": 2}
    assert [one["case_id"] for one in found["verdicts"]] == [case.case_id for case in CASES]
    assert found["verdicts"][1]["layer"] == "call_present"


async def test_pairs_are_rows_whose_right_answers_stand_against_the_models_failures() -> None:
    bench = Bench()
    evaluation_id = await evaluated(bench, {1: "I cannot.", 3: " ", 4: trailing(CASES[4])})
    lines = (await exported(bench, evaluation_id, ExportFormat.PAIRS)).splitlines()
    rows = [DatasetRow.from_json(json.loads(line), number) for number, line in enumerate(lines, start=1)]
    assert [row.example_id for row in rows] == [CASES[1].case_id, CASES[4].case_id]
    for row, case, answer in zip(rows, (CASES[1], CASES[4]), ("I cannot.", trailing(CASES[4])), strict=True):
        row.check()
        assert row.rejected == {"role": "assistant", "content": answer}
        assert row.messages == DatasetRow.from_json(json.loads(json.dumps(PROFILE.example(case, "compact")))).messages
        assert row.cause and row.profile_id == PROFILE.id and row.reason == "reference"


async def test_the_better_side_of_a_pair_is_the_models_own_answer_healed_where_that_can_be_done() -> None:
    bench = Bench()
    evaluation_id = await evaluated(bench, {1: f"Here it is.\n{trailing(CASES[1])}"})
    (row,) = (await exported(bench, evaluation_id, ExportFormat.PAIRS)).splitlines()
    pair = DatasetRow.from_json(json.loads(row))
    right = PROFILE.example(CASES[1], "compact")["messages"][-1]["content"]
    assert (pair.messages[-1]["content"], pair.reason) == (f"Here it is.\n{right}", "healed")


async def test_csv_has_a_line_per_verdict() -> None:
    bench = Bench()
    text = await exported(bench, await bench.evaluated(subject(), wrong=(2, 5)), ExportFormat.CSV)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["case_id"] for row in rows] == [case.case_id for case in CASES]
    assert Counter(row["cause"] for row in rows) == {"": 11, "no_call": 2}
    assert (rows[1]["layer.call_present"], rows[0]["score.format"], rows[0]["latency_seconds"]) == (
        "failed",
        "1.0",
        "0.25",
    )


@pytest.mark.parametrize("before", ["", 'a";', "a\t", "a\n", "a\r\n", "a;b;"])
@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", '"=1', "\uff1d1"])
def test_cells_that_a_spreadsheet_would_run_are_text_wherever_it_separates(before: str, formula: str) -> None:
    text = str(escaped(before + formula))
    assert text.replace("'", "") == before + formula
    assert not any(piece.lstrip(' "').startswith(tuple("=+-@\uff1d")) for piece in re.split(r"[;\t\r\n]", text))


@pytest.mark.parametrize("cell", ["a=1", "", "1", "a; b", "a,=1", -1, 0.5, True])
def test_other_cells_stay_as_they_are(cell: object) -> None:
    assert escaped(cell) is cell


async def test_an_inspect_log_has_a_sample_with_messages_and_a_score_per_transcript() -> None:
    bench = Bench()
    log = json.loads(await exported(bench, await bench.evaluated(subject(), wrong=(2,)), ExportFormat.INSPECT))
    assert (log["version"], log["status"], log["eval"]["task"]) == (2, "success", "roo_xml/core@1")
    assert log["results"]["scores"][0]["metrics"]["conforming"]["value"] == pytest.approx(12 / 13)
    assert [sample["id"] for sample in log["samples"]] == [case.case_id for case in CASES]
    sample: dict[str, Any] = log["samples"][1]
    assert sample["scores"]["drillyard"]["value"] == "I"
    assert [message["role"] for message in sample["messages"]] == ["system", "user", "assistant"]
    assert sample["input"] == sample["messages"][:2]
    assert sample["output"]["choices"][0]["message"]["content"] == "I would rather not."


async def test_a_page_needs_no_network_and_runs_nothing() -> None:
    bench = Bench()
    text = await exported(bench, await evaluated(bench, {3: NASTY}), ExportFormat.HTML)
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not [
        name for _, attributes in page.tags for name in attributes if name in ("src", "href") or name[:2] == "on"
    ]
    assert "url(" not in text and "@import" not in text
    [policy] = [one["content"] for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'")


async def test_what_a_page_shows_is_text_whatever_it_holds() -> None:
    bench = Bench()
    text = await exported(
        bench, await evaluated(bench, {3: NASTY}), ExportFormat.HTML, facts=(ExportFact("Training", "note", NASTY),)
    )
    page = Page(text)
    assert page.text.count("<script>alert(1)</script>\\u{202e}{{ 7 * 7 }} \\u{1b}[31m") == 2
    assert not re.search("[\u202e\x1b]", text)


def _of_loop(stop_reason: str) -> tuple[ExportFact, ...]:
    facts = {"stop reason": stop_reason, "stop sentence": "It ended.", "best model version id": "best@3"}
    facts["next step"] = "Allow more rounds."
    return tuple(ExportFact("Loop", name, value) for name, value in facts.items())


@pytest.mark.parametrize(("stop_reason", "is_missed"), [("out_of_rounds", True), ("goals_met", False), ("", False)])
async def test_a_page_of_a_loop_warns_of_a_goal_that_was_not_reached(stop_reason: str, is_missed: bool) -> None:
    bench = Bench()
    evaluation = await evaluated(bench, {3: "no"})
    text = await exported(bench, evaluation, ExportFormat.HTML, facts=_of_loop(stop_reason))
    page = Page(text)
    assert (
        "Goal not reached. It ended. The best version is best@3. Try next: Allow more rounds." in page.text
    ) is is_missed
    assert ('<p class="warning">' in text) is is_missed


async def test_a_page_marks_the_guilty_part_and_opens_one_transcript_at_a_time() -> None:
    bench = Bench()
    page = Page(await exported(bench, await evaluated(bench, {3: trailing(CASES[3])}), ExportFormat.HTML))
    assert len(page.marked) == 1 and "Anything <b>else</b>?" in page.marked[0]
    transcripts = [one for tag, one in page.tags if tag == "details" and one.get("name") == "transcript"]
    assert len(transcripts) == len(CASES)
    assert transcripts[0]["id"] == "t4"  # the failing one is first
    assert page.text.count("The rules.") == 1


async def test_a_page_sets_an_evaluation_against_an_earlier_one() -> None:
    bench = Bench()
    before = await evaluated(bench, {0: "no", 1: "no", 2: "no"}, "run-1")
    after = await evaluated(bench, {2: "no", 5: "no"}, "run-2")
    page = Page(await exported(bench, after, ExportFormat.HTML, before=before))
    words = " ".join(page.text.split())
    assert "The conforming rate rose from 76.9% to 84.6%: 2 cases gained, 1 lost, of 13 answers." in words
    assert "Lost cases (1)" in words and "Gained cases (2)" in words
    assert f"{CASES[0].tool}1 → 0" in words
    assert page.text.index(CASES[5].case_id) < page.text.index(CASES[2].case_id, page.text.index("Transcripts"))
    assert PROFILE.digest in words and "seed" in words


async def test_a_long_page_names_how_much_of_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluator.exports.page.MAX_TRANSCRIPTS", 2)
    bench = Bench()
    page = Page(await exported(bench, await evaluated(bench, {7: "no"}), ExportFormat.HTML))
    shown = [one["id"] for tag, one in page.tags if tag == "details" and one.get("name") == "transcript"]
    assert shown == ["t8", "t1"]
    assert "2 of 13" in page.text


async def test_files_are_named_and_sent_in_pieces() -> None:
    bench = Bench()
    evaluation_id = await evaluated(bench, {0: "x" * 400_000})
    file = await bench.exports.export(evaluation_id, ExportFormat.INSPECT, before_evaluation_id="", facts=())
    chunks = [chunk async for chunk in file.chunks]
    assert (file.name, file.media_type) == (f"{evaluation_id}.inspect.json", "application/json")
    assert len(chunks) > 3 and max(map(len, chunks)) < 300_000
    json.loads(b"".join(chunks))


async def test_what_cannot_be_exported_says_why() -> None:
    bench = Bench()
    bench.runs.add(subject())
    empty = (await bench.evaluations.create("r", "run-1")).job.job_id
    with pytest.raises(FailedPrecondition, match="no verdicts yet"):
        await exported(bench, empty, ExportFormat.CSV)
    with pytest.raises(NotFound):
        await exported(bench, "eval-0", ExportFormat.CSV)


def test_a_form_that_does_not_exist_is_refused() -> None:
    assert format_from_proto(ExportEvaluationRequest(format=EXPORT_FORMAT_CSV)) is ExportFormat.CSV
    with pytest.raises(InvalidArgument, match="no format"):
        format_from_proto(ExportEvaluationRequest())


@pytest.mark.parametrize("form", [ExportFormat.CSV, ExportFormat.INSPECT])
async def test_a_form_without_place_for_an_earlier_evaluation_refuses_one(form: ExportFormat) -> None:
    bench = Bench()
    evaluation_id = await bench.evaluated(subject())
    with pytest.raises(InvalidArgument, match="take json or html"):
        await bench.exports.export(evaluation_id, form, before_evaluation_id=evaluation_id, facts=())
