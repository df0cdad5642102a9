"""Every command of `drillyard`, against a real gateway in front of services with a made-up model."""

import json
import re
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.protocols.profile import get_profile
from tests.fakes import endpoint
from tests.fakes.system.background import in_background
from tests.fakes.system.services import BASE, MODEL, SUITE
from tests.integration.gateway_routes.conftest import Front
from ui.cli.__main__ import app

READING: tuple[tuple[str, ...], ...] = (
    ("models",),
    ("models", "list"),
    ("models", "show", "smollm2-135m-instruct"),
    ("test-suites",),
    ("test-suites", "list"),
    ("test-suites", "show", "roo_xml/core"),
    ("test-runs",),
    ("test-runs", "list"),
    ("test-runs", "show", "RUN-AFTER"),
    ("test-runs", "transcripts", "RUN-AFTER", "--cause", "unclosed"),
    ("test-runs", "compare", "RUN-BEFORE", "RUN-AFTER"),
    ("test-runs", "transcripts", "RUN-AFTER", "--category", "CATEGORY"),
    ("test-runs", "transcript", "TRANSCRIPT"),
    ("test-runs", "preview", BASE, "--suite", SUITE, "--case", "CASE"),
    ("evaluations",),
    ("evaluations", "list"),
    ("evaluations", "show", "EVALUATION-AFTER"),
    ("evaluations", "verdicts", "EVALUATION-AFTER", "--cause", "unclosed"),
    ("evaluations", "compare", "EVALUATION-BEFORE", "EVALUATION-AFTER"),
    ("training-jobs",),
    ("training-jobs", "list"),
    ("training-jobs", "datasets"),
    ("training-jobs", "show", "TRAINING-JOB"),
    ("train", "checkpoints", "list", "TRAINING-JOB"),
    ("train", "checkpoints", "show", "TRAINING-JOB", "20"),
    ("train", "start", BASE, "DATASET", "--dry-run"),
    ("loops",),
    ("loops", "list"),
    ("loops", "show", "LOOP"),
    ("loop", "plan", BASE, "--rounds", "3", "--goal", "conforming_rate>=0.5"),
)
STARTING: tuple[tuple[str, ...], ...] = (
    ("test-runs", "start", BASE, "--no-follow"),
    ("test-runs", "start", BASE, "--no-follow", "--top-p", "0.9", "--throughput", "--log-probs", "--case-timeout", "9"),
    (
        "test-runs",
        "start",
        BASE,
        "--endpoint",
        "ENDPOINT",
        "--tools",
        "native",
        "--stop",
        "X",
        "--no-follow",
    ),
    ("test-runs", "start", "--endpoint", "ENDPOINT", "--endpoint-model", "theirs", "--no-follow"),
    ("test-runs", "start", "--repeat-of", "RUN-BEFORE", "--no-follow"),
    (
        "evaluations",
        "start",
        "RUN-BEFORE",
        "--grader-url",
        "http://127.0.0.1:9/v1",
        "--grader-model",
        "m",
        "--no-follow",
    ),
    ("training-jobs", "start", BASE, "DATASET", "--no-follow"),
    ("loops", "start", BASE, "--no-follow", "--goal", "conforming_rate=0.5", "--goal", "accepted_rate=0.9"),
    (
        *("loops", "start", BASE, "--no-follow", "--goal", "conforming_rate[tool=apply_diff]>=0.5@0.9"),
        *("--guardrail", "text/smoke:accepted_rate:0.02", "--max-tokens", "1000000", "--plateau-rounds", "3"),
        *("--price-per-hour", "2.5", "--max-cost", "10"),
    ),
)
UNKNOWN: tuple[tuple[str, ...], ...] = (
    ("models", "show", "nosuch"),
    ("test-suites", "show", "nosuch/suite"),
    ("test-runs", "show", "nosuch"),
    ("test-runs", "transcripts", "nosuch"),
    ("test-runs", "compare", "nosuch", "RUN-BEFORE"),
    ("test-runs", "watch", "nosuch"),
    ("test-runs", "cancel", "nosuch"),
    ("test-runs", "start", "nosuch"),
    ("test-runs", "start", "nosuch"),
    ("test-runs", "start", "--repeat-of", "nosuch"),
    ("test-runs", "pause", "nosuch"),
    ("test-runs", "resume", "nosuch"),
    ("test-runs", "compare", "nosuch", "RUN-BEFORE", "--transcripts"),
    ("test-runs", "transcript", "nosuch"),
    ("test-runs", "preview", BASE, "--case", "nosuch"),
    ("test-runs", "parity", "nosuch", "--against", "http://127.0.0.1:9/v1"),
    ("test-runs", "lm-eval", "nosuch"),
    ("evaluations", "start", "nosuch"),
    ("evaluations", "show", "nosuch"),
    ("evaluations", "verdicts", "nosuch"),
    ("evaluations", "compare", "nosuch", "EVALUATION-BEFORE"),
    ("evaluations", "export", "nosuch"),
    ("evaluations", "watch", "nosuch"),
    ("judge", "--answer", "x", "--case-id", "nosuch"),
    ("test-runs", "start", BASE, "--suite", "nosuch/suite"),
    ("training-jobs", "start", BASE, "nosuch"),
    ("training-jobs", "show", "nosuch"),
    ("training-jobs", "watch", "nosuch"),
    ("training-jobs", "cancel", "nosuch"),
    ("training-jobs", "pause", "nosuch"),
    ("training-jobs", "resume", "nosuch"),
    ("training-jobs", "fork", "nosuch"),
    ("training-jobs", "checkpoints", "list", "nosuch"),
    ("training-jobs", "checkpoints", "show", "TRAINING-JOB", "7"),
    ("training-jobs", "checkpoints", "delete", "TRAINING-JOB", "7"),
    ("training-jobs", "delete", "nosuch"),
    ("loops", "start", "nosuch"),
    ("loops", "show", "nosuch"),
    ("loops", "watch", "nosuch"),
    ("loops", "cancel", "nosuch"),
    ("loops", "plan", "nosuch"),
    ("loops", "approve", "nosuch"),
    ("loops", "decide", "nosuch", "--method", "sft", "--learning-rate", "1e-4"),
    ("report", "nosuch"),
)


# What the system has named only when it runs, by the words that stand for it in the commands above.
_NAMED: dict[str, str] = {}


@pytest.fixture(scope="module")
def url(front: Front) -> Iterator[str]:
    case, names = get_profile("roo_xml").suites()[0].cases[0], front.system.names
    listed = json.loads(_run(front.url, "test-runs", "transcripts", names["RUN-AFTER"], "--json").stdout)
    _NAMED.update(names, CASE=case.case_id, CATEGORY=case.category, TRANSCRIPT=listed[0]["transcript_id"])
    served = {"/v1/models": {"data": [{"id": MODEL}, {"id": "theirs"}]}}
    with in_background(endpoint.running(endpoint.hangs, routes=served)) as silent:
        _NAMED["ENDPOINT"] = silent.base_url
        yield front.url


def _run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*(_NAMED.get(argument, argument) for argument in arguments), "--url", url])


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_reading_command_prints_a_table_and_the_same_as_json(url: str, arguments: tuple[str, ...]) -> None:
    table, document = _run(url, *arguments), _run(url, *arguments, "--json")
    assert (table.exit_code, document.exit_code) == (0, 0), table.stderr + document.stderr
    assert json.loads(document.stdout)
    assert len(table.stdout.splitlines()) > 1


def test_what_would_be_removed_is_asked_of_all_services(url: str, front: Front) -> None:
    leftover = front.system.folder / "trainer" / "attempts" / "train-gone"
    leftover.mkdir(parents=True)
    result = _run(url, "gc", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "There is nothing to remove.\n"), "it is not a day old"
    assert json.loads(_run(url, "gc", "--json").stdout) == {"garbage": []}
    assert leftover.exists()


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("RUN-AFTER", "test-runs?run=RUN-AFTER"),
        ("EVALUATION-AFTER", "test-runs?run=RUN-AFTER"),
        ("TRAINING-JOB", "training-jobs?job=TRAINING-JOB"),
        ("LOOP", "loops?loop=LOOP"),
        ("roo_xml/core@1", "test-suites?suite=roo_xml/core@1"),
    ],
)
def test_an_id_opens_its_page(url: str, front: Front, name: str, page: str) -> None:
    opened: list[str] = []

    class Recorder(webbrowser.BaseBrowser):
        def open(self, url: str, *_: object) -> bool:
            opened.append(url)
            return True

    webbrowser.register("recorder", None, Recorder(), preferred=True)
    for word, job_id in front.system.names.items():
        page = page.replace(word, job_id)
    assert _run(url, "open", name).stdout.strip() == f"{url}/{page}"
    assert opened == [f"{url}/{page}"]


def test_a_training_that_a_loop_refers_to_is_not_deleted(url: str) -> None:
    result = _run(url, "training-jobs", "delete", "TRAINING-JOB")
    assert result.exit_code != 0 and "is used by the loop" in result.stderr


def test_a_suite_is_exported_to_a_file_or_into_a_folder(url: str, tmp_path: Path) -> None:
    cases = get_profile("roo_xml").suites()[0].text.splitlines()
    for out in (tmp_path, tmp_path / "mine.jsonl"):
        said = _run(url, "test-suites", "export", SUITE, "--out", str(out))
        assert said.exit_code == 0, said.stderr
    for name in ("roo_xml-core-1.jsonl", "mine.jsonl"):
        assert (tmp_path / name).read_text().splitlines() == cases
    assert _run(url, "test-suites", "export", SUITE, "--out", "/no/such/folder/x").exit_code == 2


def test_wrong_lines_of_a_suite_are_printed_with_their_numbers(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(get_profile("roo_xml").suites()[0].text.splitlines()[0] + "\n{\n")
    said = _run(url, "test-suites", "validate", str(file), "--profile", "roo_xml")
    assert said.exit_code == 1
    wrong, total = said.stdout.splitlines()
    assert (wrong.startswith(f"{file}:2: "), total) == (True, "1 case, 1 wrong line.")


def test_a_suite_is_imported_with_its_origin(url: str, tmp_path: Path) -> None:
    file, answers = tmp_path / "tasks.jsonl", tmp_path / "answers.jsonl"
    question = [[{"role": "user", "content": "Renew my card 7."}]]
    parameters = {"type": "dict", "properties": {"card": {"type": "integer"}}, "required": ["card"]}
    function = {"name": "renew", "description": "Renews a card.", "parameters": parameters}
    file.write_text(json.dumps({"id": "simple_0", "question": question, "function": [function]}))
    answers.write_text('{"id": "simple_0", "ground_truth": [{"renew": {"card": [7]}}]}\n')
    arguments = ("--id", "openai_tools/bfcl", "--format", "bfcl", "--answers", str(answers), "--licence", "Apache-2.0")
    said = _run(url, "test-suites", "import", str(file), *arguments, "--json")
    made = json.loads(said.stdout)
    assert made["provenance"]["licence"] == "Apache-2.0"
    (kept,) = Path(made["artifact"]["uri"].removeprefix("file://")).read_text().splitlines()
    assert json.loads(kept)["case_id"] == "simple_0" and '"card": 7' in kept
    refused = _run(url, "test-suites", "import", str(file), "--id", "text/x", "--format", "fax")
    assert (refused.exit_code, "Use one of jsonl" in refused.stderr) == (2, True)


@pytest.mark.parametrize("arguments", STARTING, ids=" ".join)
def test_a_starting_command_prints_what_it_has_started(url: str, arguments: tuple[str, ...]) -> None:
    table, document = _run(url, *arguments), _run(url, *arguments, "--json")
    assert (table.exit_code, document.exit_code) == (0, 0), table.stderr + document.stderr
    assert re.search("JOB_STATE_(QUEUED|RUNNING)", document.stdout)
    assert json.loads(document.stdout)


@pytest.mark.parametrize("arguments", UNKNOWN, ids=" ".join)
def test_an_unknown_id_is_one_sentence_and_status_1(url: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    said = _run(url, *arguments)
    assert said.exit_code == 1
    assert re.search("There is no|has no (case|checkpoint)", said.stderr)
    assert len(said.stderr.splitlines()) == 1
    document = _run(url, *arguments, "--json")
    assert document.exit_code == 1
    assert json.loads(document.stderr.splitlines()[-1])["code"] == "NOT_FOUND"
    assert document.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("loops", "start", BASE, "--minutes", "-3"), "--minutes"),
        (("loops", "start", BASE, "--goal", "conforming_rate"), "conforming_rate=0.8"),
        (("loops", "start", BASE, "--guardrail", "text/smoke:accepted_rate:x"), "no number"),
        (("loops", "start", BASE, "--max-cost", "10"), "price_per_hour"),
        (("loops", "start", BASE, "--rounds", "many"), "--rounds"),
        (("training-jobs", "start", BASE, "DATASET", "--learning-rate", "-1"), "--learning-rate"),
        (("test-runs", "start", BASE, "--repeats", "-1"), "--repeats"),
        (("test-runs", "start", BASE, "--repeats", str(2**40)), "--repeats"),
        (("test-runs", "start"), "--endpoint-model"),
        (("test-runs", "start", BASE, "--tools", "magic", "--endpoint", "http://127.0.0.1:9/v1"), "--tools"),
        (("test-runs", "start", BASE, "--num-ctx", "9"), "--endpoint URL"),
        (("test-runs", "start", "--repeat-of", "RUN-BEFORE", "--seed", "3"), "--repeat-of"),
        (("test-runs", "parity", BASE, "--against", "http://x", "--require", "2"), "--require"),
        (("evaluations", "export", "EVALUATION-AFTER", "--format", "pdf"), "format"),
        (("judge",), "--answer"),
        (("judge", "/no/such/file"), "/no/such/file"),
        (("judge", "--answer", "x"), "--case-id"),
        (("models", "import", "/no/such.gguf", "--id", "x", "--cause", "y"), "--cause"),
        (("test-suites", "import", "/no/such/file", "--id", "roo_xml/mine"), "/no/such/file"),
    ],
)
def test_a_wrong_option_is_named_and_gives_status_2(url: str, arguments: tuple[str, ...], named: str) -> None:
    said = _run(url, *arguments)
    assert said.exit_code == 2
    assert named in re.sub(r"\s*[│╭╮╰╯─]\s*", " ", said.stderr)


def test_a_suite_is_added_from_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(get_profile("roo_xml").suites()[0].text.splitlines()[0] + "\n")
    made = _run(url, "test-suites", "import", str(file), "--id", "roo_xml/added", "--json")
    assert json.loads(made.stdout)["test_suite_version_id"] == "roo_xml/added@1"


def test_an_import_takes_a_relative_path_and_names_the_model_after_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Tiny_Model.gguf").write_bytes(b"GGUF")
    begun = _run(url, "models", "import", "models/Tiny_Model.gguf", "--no-follow", "--json")
    one = json.loads(begun.stdout)
    assert one["model_id"] == "tiny-model"
    assert one["source"]["gguf_path"] == str(Path("models/Tiny_Model.gguf").absolute())


def test_watching_with_json_prints_one_event_a_line(url: str) -> None:
    watched = _run(url, "training-jobs", "watch", "TRAINING-JOB", "--json")
    events: list[dict[str, Any]] = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["state"]["state"] == "JOB_STATE_SUCCEEDED"


def test_following_ends_when_the_work_has_ended(url: str) -> None:
    followed = _run(url, "loops", "watch", "LOOP")
    assert followed.exit_code == 0
    assert "✓ Train" in followed.stdout
    assert "Report: drillyard report" in followed.stdout


def test_a_cancelled_run_says_so(url: str) -> None:
    run_id = json.loads(_run(url, "test-runs", "start", BASE, "--no-follow", "--json").stdout)["test_run"][
        "test_run_id"
    ]
    state = json.loads(_run(url, "test-runs", "cancel", run_id, "--json").stdout)["job"]["state"]
    assert state in ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")
    _run(url, "test-runs", "watch", run_id)
    assert _run(url, "test-runs", "show", run_id).exit_code == 1


def test_a_report_is_written_where_it_was_asked_for(url: str, tmp_path: Path) -> None:
    written = _run(url, "report", "LOOP", "--out", str(tmp_path / "there"))
    assert written.exit_code == 0
    report = json.loads((tmp_path / "there" / "report.json").read_text())
    assert report["after"]["conforming_rate"] > report["before"]["conforming_rate"]
    page = (tmp_path / "there" / "report.html").read_text()
    assert report["before"]["evaluation_id"] in page
    assert "All rounds of the budget (1) are used up" in page


def test_a_report_that_cannot_be_written_says_where(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = _run(url, "report", "LOOP", "--out", str(tmp_path / "file"))
    assert refused.exit_code == 1
    assert str(tmp_path / "file") in refused.stderr


def test_without_a_gateway_every_command_says_how_to_start_one() -> None:
    refused = _run("http://127.0.0.1:1", "models", "--json")
    assert refused.exit_code == 1
    assert "drillyard up" in json.loads(refused.stderr)["next_step"]
