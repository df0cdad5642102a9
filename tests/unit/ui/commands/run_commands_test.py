"""`drillyard test-runs` against a gateway that has one run."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from drillyard.feedback.v1.feedback_item_pb2 import CreateFeedbackItemRequest
from drillyard.test_runner.v1.test_run_pb2 import CreateTestRunRequest
from typer.testing import CliRunner, Result

from services.chassis.errors import InvalidArgument
from ui.cli.__main__ import app
from ui.cli.processes import _last_words
from ui.shared.documents import message_of

RUN = {
    "test_run_id": "run-1",
    "spec": {"model_version_id": "small@1", "test_suite_version_id": "roo_xml/smoke@1"},
    "num_transcripts": 0,
    "num_transcripts_total": 24,
    "num_unanswered": 0,
    "is_incomplete": False,
}
TURN = {"num_generated_tokens": 20, "token_ids": [], "detail": "The endpoint ended the answer with 'eos_token'."}
TRANSCRIPT = {
    "messages": [{"role": "assistant", "content": "Hello", "tool_calls": []}],
    "finish_reason": "FINISH_REASON_STOP",
    "token_ids": [],
    "turns": [TURN, TURN],
}
VERDICT = {"transcript_id": "run-1-7", "case_id": "c7", "tool": "read_file", "cause": "", "sentence": "It is right."}


@contextmanager
def gateway(state: str, **fields: object) -> Iterator[str]:
    run = {
        **RUN,
        **fields,
        "job": {"state": state, "error": {"code": "INTERNAL", "problem": "It broke.", "next_step": ""}},
    }
    judged = {"evaluation_id": "eval-1", "job": {"state": state}}
    documents: dict[str, Any] = {
        "POST /api/v1/test-runs": {"test_run": run, "evaluation": judged},
        "GET /api/v1/test-runs/run-1": {"test_run": run},
        "GET /api/v1/evaluations": {"evaluations": [judged]},
        "GET /api/v1/verdicts": {"verdicts": [VERDICT], "next_page_token": ""},
        "GET /api/v1/transcripts/run-1-7": {"transcript": TRANSCRIPT},
    }

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(documents[f"{self.command} {urlsplit(self.path).path}"]).encode()
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the standard library asks for

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def said(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["test-runs", *arguments, "--url", url])


def test_a_run_that_is_not_waited_for_is_named_with_how_to_follow_it() -> None:
    with gateway("JOB_STATE_QUEUED") as url:
        told = said(url, "start", "small@1", "--no-follow")
    assert told.exit_code == 0, told.output
    assert "run-1" in told.stdout
    assert "It is queued, with 0 of 24 answers stored. Follow it with `drillyard test-runs watch run-1`." in told.stdout
    assert "No case failed" not in told.stdout


def test_a_paused_run_says_how_to_go_on() -> None:
    with gateway("JOB_STATE_PAUSED") as url:
        assert "Go on with `drillyard test-runs resume run-1`." in said(url, "show", "run-1").stdout


def test_an_incomplete_run_says_how_to_finish_it() -> None:
    with gateway("JOB_STATE_SUCCEEDED", is_incomplete=True, num_transcripts=20, num_unanswered=2) as url:
        shown = said(url, "show", "run-1").stdout
    assert "INCOMPLETE: 6 of 24 cases have no answer" in shown
    assert "drillyard test-runs finish run-1" in shown


def test_finishing_takes_over_the_answers_of_the_run() -> None:
    with gateway("JOB_STATE_QUEUED") as url:
        assert said(url, "finish", "run-1", "--no-follow").exit_code == 0


def test_verdicts_name_the_transcript_that_can_be_shown() -> None:
    with gateway("JOB_STATE_SUCCEEDED") as url:
        assert "run-1-7" in said(url, "transcripts", "run-1").stdout


def test_tokens_of_a_server_that_tells_no_ids_are_counted() -> None:
    with gateway("JOB_STATE_SUCCEEDED") as url:
        shown = said(url, "transcript", "run-1-7").stdout
    assert "── stop; 40 tokens in 2 answers" in shown
    assert shown.count("'eos_token'") == 1


@pytest.mark.parametrize("option", ["--repeats", "--max-new-tokens"])
def test_nought_is_not_taken_for_a_default(option: str) -> None:
    told = said("http://127.0.0.1:9", "start", "small@1", option, "0")
    assert told.exit_code == 2
    assert option in told.stderr


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "NaN"), ("warm", "warm")])
def test_a_number_that_is_none_is_named_with_its_field(value: object, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        message_of(CreateTestRunRequest, {"spec": {"sampling": {"temperature": value}}})
    assert caught.value.fields == {"field": "spec.sampling.temperature"}
    assert caught.value.problem.startswith("spec.sampling.temperature cannot be read: ")
    assert reason in caught.value.problem
    assert "quoted" not in caught.value.problem


def test_an_infinite_number_for_an_enum_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        message_of(CreateFeedbackItemRequest, {"spec": {"rating": {"value": 1, "scale": math.inf}}})


def test_a_service_that_ended_is_not_quoted_with_half_a_line(tmp_path: Path) -> None:
    log = tmp_path / "registry.log"
    log.write_text(json.dumps({"event": "x" * 5000}) + "\n" + json.dumps({"event": "last"}) + "\n")
    assert _last_words(log) == ""
    log.write_text("There is no room.\n")
    assert _last_words(log) == "There is no room."
