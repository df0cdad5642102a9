"""What `drillyard test-runs`, `evaluations` and `judge` say of results, against services with a made-up model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.protocols.cases import case_to_document
from services.protocols.profile import get_profile
from tests.fakes import endpoint as fake
from tests.fakes.system.background import in_background
from tests.fakes.system.services import BASE, MODEL, SUITE
from tests.integration.gateway_routes.conftest import Front
from ui.cli.__main__ import app

PROFILE = get_profile("roo_xml")
DOCUMENT, CASE = PROFILE.suites()[0].text.splitlines()[0], PROFILE.suites()[0].cases[0]


def _run(front: Front, *arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", front.url], input=given)


@pytest.fixture
def runs_end_at_once(front: Front) -> Iterator[None]:
    front.system.model.holds = False
    yield
    front.system.model.holds, front.system.model.base_share = True, 0.0


@pytest.mark.usefixtures("runs_end_at_once")
def test_a_repeat_that_differs_says_what_and_gives_status_1(front: Front) -> None:
    front.system.model.base_share, run_id = 1.0, front.system.names["RUN-BEFORE"]
    said = _run(front, "test-runs", "start", "--repeat-of", run_id)
    assert said.exit_code == 1, said.stderr
    assert f"differs from {run_id}: 0 of 130 transcripts are identical" in said.stdout
    assert "answer 0, token 0" in said.stdout


def test_the_same_run_twice_is_identical_and_gives_status_0(front: Front) -> None:
    run_id = front.system.names["RUN-BEFORE"]
    said = _run(front, "test-runs", "compare", run_id, run_id, "--transcripts")
    assert said.exit_code == 0
    assert f"is identical to {run_id}: all 130 transcripts" in said.stdout


@pytest.mark.usefixtures("runs_end_at_once")
def test_parity_makes_two_runs_and_names_the_guilty_step(front: Front) -> None:
    with in_background(fake.running(fake.says("Sure!"), routes={"/v1/models": {"data": [{"id": MODEL}]}})) as server:
        said = _run(front, "test-runs", "parity", BASE, "--suite", SUITE, "--against", server.base_url)
    assert said.exit_code == 1, said.stderr
    assert "Guilty step: template." in said.stdout
    assert "0.0 % equal answers, 100.0 % equal verdicts" in said.stdout
    served, own = (one["spec"] for one in front.api.get("/test-runs", page_size=2)["test_runs"])
    assert not own.get("endpoint")
    assert (served["endpoint"]["base_url"], served["endpoint"]["model"]) == (server.base_url, MODEL)
    assert served["sampling"] == own["sampling"]


def test_a_run_is_paused_resumed_and_cancelled(front: Front) -> None:
    begun = json.loads(_run(front, "test-runs", "start", BASE, "--no-follow", "--json").stdout)
    run_id = begun["test_run"]["test_run_id"]
    for verb, states in (("pause", "paus(ing|ed)"), ("cancel", "cancell(ing|ed)")):
        assert re.search(f"{run_id} is {states}", _run(front, "test-runs", verb, run_id).stdout)
    refused = _run(front, "test-runs", "resume", run_id)
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_an_export_is_written_whole_under_its_own_name(front: Front, tmp_path: Path) -> None:
    evaluation_id = front.system.names["EVALUATION-AFTER"]
    said = _run(front, "evaluations", "export", evaluation_id, "--format", "csv", "--out", str(tmp_path))
    assert said.exit_code == 0, said.stderr
    assert len((tmp_path / f"{evaluation_id}.csv").read_bytes().splitlines()) > 130
    refused = _run(front, "evaluations", "export", evaluation_id, "--out", str(tmp_path / "none" / "x"))
    assert refused.exit_code == 1
    assert "--out" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == [f"{evaluation_id}.csv"]


def test_one_answer_is_judged_and_its_status_tells_whether_it_conforms(front: Front) -> None:
    wrong = _run(front, "judge", "--suite", SUITE, "--case-id", CASE.case_id, "--answer", "-", given="Sure!")
    assert (wrong.exit_code, wrong.stdout.partition(".")[0]) == (1, "no_call")
    answer = PROFILE.reference_answer(CASE)
    right = _run(front, "judge", "--suite", SUITE, "--case-id", CASE.case_id, "--answer", answer, "--json")
    assert right.exit_code == 0
    assert json.loads(right.stdout)["verdict"]["conforming"]


def test_a_file_of_answers_is_judged_line_by_line(front: Front) -> None:
    native = next(get_profile("roo_native").draw(1, 1, categories=("single_call",)))
    (call,) = get_profile("roo_native").read_answer(get_profile("roo_native").reference_answer(native)).calls
    function = {"name": call.name, "arguments": call.arguments}
    messages = [{"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}]
    lines = [
        {
            "profile_id": "roo_xml",
            "case": json.loads(DOCUMENT),
            "answer": PROFILE.reference_answer(CASE),
            "key": "first",
        },
        {"profile_id": "roo_xml", "case_document": "broken", "answer": "x"},
        {"profile_id": "roo_native", "case": case_to_document(native), "messages": messages, "key": "native"},
    ]
    said = _run(front, "judge", "-", given="\n".join(json.dumps(one) for one in lines))
    assert said.exit_code == 1
    assert "first   conforms" in said.stdout
    assert "line 2  not judged  " in said.stdout
    assert "native  conforms" in said.stdout


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "Line 1"),
        ("[]", "Line 1"),
        ('{"answr": "x"}', "Line 1"),
        ('{"profile_id": "text", "case": {}, "messages": [{"role": "robot"}]}', "Line 1 has messages"),
        ('{"profile_id": "text", "case": {}, "messages": 7}', "Line 1 has messages"),
    ],
)
def test_a_line_that_is_no_answer_is_named(front: Front, line: str, named: str) -> None:
    said = _run(front, "judge", "-", given=line)
    assert said.exit_code == 2
    assert named in said.stderr


def test_a_preview_ends_with_the_token_ids(front: Front) -> None:
    said = _run(front, "test-runs", "preview", BASE, "--suite", SUITE, "--case", CASE.case_id)
    assert said.stdout.startswith("<|im_start|>system")
    assert said.stdout.rstrip().splitlines()[-1].startswith("0 1 2 3")
