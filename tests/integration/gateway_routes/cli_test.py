"""Every command of `drillyard`, against a real gateway in front of services with a made-up model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.protocols.profile import get_profile
from tests.fakes import endpoint
from tests.fakes.system.background import in_background
from tests.fakes.system.services import BASE, MODEL, SUITE, System
from tests.integration.processes import start_service
from ui.cli.__main__ import app

READING: tuple[tuple[str, ...], ...] = (
    ("models",),
    ("models", "list"),
    ("models", "show", "smollm2-135m-instruct"),
    ("suites",),
    ("suites", "list"),
    ("suites", "show", "roo_xml/core"),
    ("test",),
    ("test", "list"),
    ("test", "show", "RUN-AFTER"),
    ("test", "transcripts", "RUN-AFTER", "--cause", "unclosed"),
    ("test", "compare", "RUN-BEFORE", "RUN-AFTER"),
    ("test", "transcripts", "RUN-AFTER", "--category", "CATEGORY"),
    ("test", "transcript", "TRANSCRIPT"),
    ("test", "preview", BASE, "--suite", SUITE, "--case", "CASE"),
    ("evaluations",),
    ("evaluations", "list"),
    ("evaluations", "show", "EVALUATION-AFTER"),
    ("evaluations", "verdicts", "EVALUATION-AFTER", "--cause", "unclosed"),
    ("evaluations", "compare", "EVALUATION-BEFORE", "EVALUATION-AFTER"),
    ("train",),
    ("train", "list"),
    ("train", "datasets"),
    ("train", "show", "TRAINING-JOB"),
    ("loop",),
    ("loop", "list"),
    ("loop", "show", "LOOP"),
)
STARTING: tuple[tuple[str, ...], ...] = (
    ("test", "start", BASE, "--no-follow"),
    ("test", "run", BASE, "--no-follow", "--top-p", "0.9", "--throughput", "--log-probs", "--case-timeout", "9"),
    (
        "test",
        "run",
        BASE,
        "--endpoint",
        "ENDPOINT",
        "--tools",
        "native",
        "--stop",
        "X",
        "--no-follow",
    ),
    ("test", "run", "--endpoint", "ENDPOINT", "--endpoint-model", "theirs", "--no-follow"),
    ("test", "run", "--repeat-of", "RUN-BEFORE", "--no-follow"),
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
    ("train", "start", BASE, "DATASET", "--no-follow"),
    ("loop", "start", BASE, "--no-follow", "--goal", "conforming_rate=0.5", "--goal", "accepted_rate=0.9"),
)
UNKNOWN: tuple[tuple[str, ...], ...] = (
    ("models", "show", "nosuch"),
    ("suites", "show", "nosuch/suite"),
    ("test", "show", "nosuch"),
    ("test", "transcripts", "nosuch"),
    ("test", "compare", "nosuch", "RUN-BEFORE"),
    ("test", "watch", "nosuch"),
    ("test", "cancel", "nosuch"),
    ("test", "start", "nosuch"),
    ("test", "run", "nosuch"),
    ("test", "run", "--repeat-of", "nosuch"),
    ("test", "pause", "nosuch"),
    ("test", "resume", "nosuch"),
    ("test", "compare", "nosuch", "RUN-BEFORE", "--transcripts"),
    ("test", "transcript", "nosuch"),
    ("test", "preview", BASE, "--case", "nosuch"),
    ("test", "parity", "nosuch", "--against", "http://127.0.0.1:9/v1"),
    ("test", "lm-eval", "nosuch"),
    ("evaluations", "start", "nosuch"),
    ("evaluations", "show", "nosuch"),
    ("evaluations", "verdicts", "nosuch"),
    ("evaluations", "compare", "nosuch", "EVALUATION-BEFORE"),
    ("evaluations", "export", "nosuch"),
    ("evaluations", "watch", "nosuch"),
    ("judge", "--answer", "x", "--case-id", "nosuch"),
    ("test", "start", BASE, "--suite", "nosuch/suite"),
    ("train", "start", BASE, "nosuch"),
    ("train", "show", "nosuch"),
    ("train", "watch", "nosuch"),
    ("train", "cancel", "nosuch"),
    ("loop", "start", "nosuch"),
    ("loop", "show", "nosuch"),
    ("loop", "watch", "nosuch"),
    ("loop", "cancel", "nosuch"),
    ("report", "nosuch"),
)


# What the system has named only when it runs, by the words that stand for it in the commands above.
_NAMED: dict[str, str] = {}


@pytest.fixture(scope="module")
def url(system: System) -> Iterator[str]:
    case = get_profile("roo_xml").suites()[0].cases[0]
    with start_service("gateway", system.folder, port=0, **system.addresses) as gateway:
        url = f"http://{gateway.address}"
        listed = json.loads(_run(url, "test", "transcripts", system.names["RUN-AFTER"], "--json").stdout)
        transcript_id = listed[0]["transcript_id"]
        _NAMED.update(system.names, CASE=case.case_id, CATEGORY=case.category, TRANSCRIPT=transcript_id)
        served = {"/v1/models": {"data": [{"id": MODEL}, {"id": "theirs"}]}}
        with in_background(endpoint.running(endpoint.hangs, routes=served)) as silent:
            _NAMED["ENDPOINT"] = silent.base_url
            yield url


def _run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*(_NAMED.get(argument, argument) for argument in arguments), "--url", url])


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_reading_command_prints_a_table_and_the_same_as_json(url: str, arguments: tuple[str, ...]) -> None:
    table, document = _run(url, *arguments), _run(url, *arguments, "--json")
    assert (table.exit_code, document.exit_code) == (0, 0), table.stderr + document.stderr
    assert json.loads(document.stdout)
    assert len(table.stdout.splitlines()) > 1


def test_a_suite_is_exported_to_a_file_or_into_a_folder(url: str, tmp_path: Path) -> None:
    cases = get_profile("roo_xml").suites()[0].text.splitlines()
    for out in (tmp_path, tmp_path / "mine.jsonl"):
        said = _run(url, "suites", "export", SUITE, "--out", str(out))
        assert said.exit_code == 0, said.stderr
    for name in ("roo_xml-core-1.jsonl", "mine.jsonl"):
        assert (tmp_path / name).read_text().splitlines() == cases
    assert _run(url, "suites", "export", SUITE, "--out", "/no/such/folder/x").exit_code == 2


def test_wrong_lines_of_a_suite_are_printed_with_their_numbers(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(get_profile("roo_xml").suites()[0].text.splitlines()[0] + "\n{\n")
    said = _run(url, "suites", "validate", str(file), "--profile", "roo_xml")
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
    said = _run(url, "suites", "import", str(file), *arguments, "--json")
    made = json.loads(said.stdout)
    assert made["provenance"]["licence"] == "Apache-2.0"
    (kept,) = Path(made["artifact"]["uri"].removeprefix("file://")).read_text().splitlines()
    assert json.loads(kept)["case_id"] == "simple_0" and '"card": 7' in kept
    refused = _run(url, "suites", "import", str(file), "--id", "text/x", "--format", "fax")
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
    assert re.search("There is no|has no case", said.stderr)
    assert len(said.stderr.splitlines()) == 1
    document = _run(url, *arguments, "--json")
    assert document.exit_code == 1
    assert json.loads(document.stderr.splitlines()[-1])["code"] == "NOT_FOUND"
    assert document.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("loop", "start", BASE, "--minutes", "-3"), "max_minutes"),
        (("loop", "start", BASE, "--goal", "conforming_rate"), "conforming_rate=0.8"),
        (("loop", "start", BASE, "--rounds", "many"), "--rounds"),
        (("train", "start", BASE, "DATASET", "--learning-rate", "-1"), "learning_rate"),
        (("test", "start", BASE, "--repeats", "-1"), "--repeats"),
        (("test", "start", BASE, "--repeats", str(2**40)), "num_repeats"),
        (("test", "run"), "--endpoint-model"),
        (("test", "run", BASE, "--tools", "magic", "--endpoint", "http://127.0.0.1:9/v1"), "--tools"),
        (("test", "run", BASE, "--num-ctx", "9"), "--endpoint URL"),
        (("test", "run", "--repeat-of", "RUN-BEFORE", "--seed", "3"), "--repeat-of"),
        (("test", "parity", BASE, "--against", "http://x", "--require", "2"), "--require"),
        (("evaluations", "export", "EVALUATION-AFTER", "--format", "pdf"), "format"),
        (("judge",), "--answer"),
        (("judge", "/no/such/file"), "/no/such/file"),
        (("judge", "--answer", "x"), "--case-id"),
        (("models", "import", "/no/such.gguf", "--id", "x", "--cause", "y"), "--cause"),
        (("suites", "add", "/no/such/file", "--id", "roo_xml/mine"), "/no/such/file"),
    ],
)
def test_a_wrong_option_is_named_and_gives_status_2(url: str, arguments: tuple[str, ...], named: str) -> None:
    said = _run(url, *arguments)
    assert said.exit_code == 2
    assert named in re.sub(r"\s*[│╭╮╰╯─]\s*", " ", said.stderr)


def test_a_suite_is_added_from_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(get_profile("roo_xml").suites()[0].text.splitlines()[0] + "\n")
    made = _run(url, "suites", "add", str(file), "--id", "roo_xml/added", "--json")
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
    watched = _run(url, "train", "watch", "TRAINING-JOB", "--json")
    events: list[dict[str, Any]] = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["payload"]["state"] == "SUCCEEDED"


def test_following_ends_when_the_work_has_ended(url: str) -> None:
    followed = _run(url, "loop", "watch", "LOOP")
    assert followed.exit_code == 0
    assert "✓ Train" in followed.stdout
    assert "Report: drillyard report" in followed.stdout


def test_a_cancelled_run_says_so(url: str) -> None:
    run_id = json.loads(_run(url, "test", "start", BASE, "--no-follow", "--json").stdout)["test_run"]["test_run_id"]
    state = json.loads(_run(url, "test", "cancel", run_id, "--json").stdout)["job"]["state"]
    assert state in ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")
    _run(url, "test", "watch", run_id)
    assert _run(url, "test", "show", run_id).exit_code == 1


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
