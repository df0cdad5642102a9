"""What `drillyard test-runs`, `evaluations` and `judge` say of results, against made-up services."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.fakes.system import rows
from tests.integration.gateway_routes.conftest import Front
from ui.cli.__main__ import app


def _run(front: Front, *arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", front.url], input=given)


@pytest.fixture
def runs_end_at_once(front: Front) -> Iterator[None]:
    front.world.ends_at_once = True
    yield
    front.world.ends_at_once = False


@pytest.mark.usefixtures("runs_end_at_once")
def test_a_repeat_that_differs_says_what_and_gives_status_1(front: Front) -> None:
    said = _run(front, "test", "run", "--repeat-of", "test_run-b01")
    assert said.exit_code == 1, said.stderr
    assert "differs from test_run-b01: 0 of 130 transcripts are identical" in said.stdout
    assert "The model's digest differs." in said.stdout
    assert "answer 0, token 3" in said.stdout


def test_the_same_run_twice_is_identical_and_gives_status_0(front: Front) -> None:
    said = _run(front, "test", "compare", "test_run-b01", "test_run-b01", "--transcripts")
    assert said.exit_code == 0
    assert "is identical to test_run-b01: all 130 transcripts" in said.stdout


@pytest.mark.usefixtures("runs_end_at_once")
@pytest.mark.parametrize(("require", "status"), [("1", 1), ("0.2", 0)])
def test_parity_makes_two_runs_and_names_the_guilty_step(front: Front, require: str, status: int) -> None:
    before = len(front.world.runs)
    said = _run(front, "test", "parity", rows.BASE, "--against", "http://127.0.0.1:9/v1", "--require", require)
    assert said.exit_code == status, said.stderr
    assert "Guilty step: template." in said.stdout
    assert "25.0 % equal answers, 50.0 % equal verdicts" in said.stdout
    server, own = front.world.runs[: len(front.world.runs) - before]
    assert not own.spec.HasField("endpoint")
    assert (server.spec.endpoint.base_url, server.spec.endpoint.model) == (
        "http://127.0.0.1:9/v1",
        rows.BASE.partition("@")[0],
    )
    assert server.spec.sampling == own.spec.sampling


def test_a_run_is_paused_resumed_and_cancelled(front: Front) -> None:
    begun = json.loads(_run(front, "test", "run", rows.BASE, "--no-follow", "--json").stdout)
    run_id = begun["test_run"]["test_run_id"]
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert f"{run_id} is {state}" in _run(front, "test", verb, run_id).stdout


def test_an_export_is_written_whole_under_its_own_name(front: Front, tmp_path: Path) -> None:
    said = _run(front, "evaluations", "export", "evaluation-b02", "--format", "csv", "--out", str(tmp_path))
    assert said.exit_code == 0, said.stderr
    assert (tmp_path / "evaluation-b02.csv").read_bytes().startswith(b"first second")
    refused = _run(front, "evaluations", "export", "evaluation-b02", "--out", str(tmp_path / "none" / "x"))
    assert refused.exit_code == 1
    assert "--out" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["evaluation-b02.csv"]


def test_one_answer_is_judged_and_its_status_tells_whether_it_conforms(front: Front) -> None:
    case = rows.make_world().cases[0].case_id
    wrong = _run(front, "judge", "--case-id", case, "--answer", "-", given="Sure!")
    assert (wrong.exit_code, wrong.stdout.splitlines()[0]) == (1, "no_call. There is no call.")
    right = _run(front, "judge", "--case-id", case, "--answer", "<read_file>", "--json")
    assert right.exit_code == 0
    assert json.loads(right.stdout)["verdict"]["conforming"]


def test_a_file_of_answers_is_judged_line_by_line(front: Front) -> None:
    lines = [
        {"profile_id": "roo_xml", "case": {"a": 1}, "answer": "<read_file>", "key": "first"},
        {"profile_id": "roo_xml", "case_document": "broken", "answer": "x"},
    ]
    said = _run(front, "judge", "-", given="\n".join(json.dumps(one) for one in lines))
    assert said.exit_code == 1
    assert "first   conforms" in said.stdout
    assert "line 2  not judged  The case is no JSON." in said.stdout


@pytest.mark.parametrize(("line", "named"), [("{", "Line 1"), ("[]", "Line 1"), ('{"answr": "x"}', "Line 1")])
def test_a_line_that_is_no_answer_is_named(front: Front, line: str, named: str) -> None:
    said = _run(front, "judge", "-", given=line)
    assert said.exit_code == 2
    assert named in said.stderr


def test_a_preview_ends_with_the_token_ids(front: Front) -> None:
    case = rows.make_world().cases[0].case_id
    said = _run(front, "test", "preview", rows.BASE, "--case", case)
    assert said.stdout.startswith("<|im_start|>user")
    assert said.stdout.rstrip().splitlines()[-1].startswith("0 1 2 3")
