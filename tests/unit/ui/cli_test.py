"""Pieces of the command line that need no gateway."""

import io
import itertools
import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from tests.machine import PATIENCE_SECONDS
from ui.cli.connection import Gateway, GatewayError
from ui.cli.demo import model_id_of_source
from ui.cli.follow import PlainLines, Progress, display, follow, job_progress
from ui.cli.options import Common, command
from ui.cli.processes import StartError, try_out
from ui.cli.results import interval_text, verdict_text
from ui.evaluations.feedback.commands import app as feedback
from ui.models.sources import model_id_of
from ui.test_runs.commands.results import speed_text


def test_an_answer_in_a_file_that_is_not_there_is_a_sentence() -> None:
    result = CliRunner().invoke(
        feedback, ["add", "run-1", "--correction", "@/not/there", "--url", "http://127.0.0.1:9"]
    )
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit)
    assert "/not/there cannot be read" in result.output and "Traceback" not in result.output


def test_the_fields_of_a_group_are_options_of_the_command() -> None:
    @dataclass(frozen=True)
    class Group:
        size: Annotated[int, typer.Option(help="How many.")] = 3

    app = typer.Typer()
    app.callback()(lambda: None)

    @command(app, "go")
    def go(name: str, group: Group, common: Common) -> None:
        print(json.dumps([name, group.size, common.as_json]))

    answer = CliRunner().invoke(app, ["go", "x", "--size", "5", "--json"])
    assert json.loads(answer.stdout) == ["x", 5, True]


def test_plain_lines_are_never_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [100.0], io.StringIO()
    monkeypatch.setattr("ui.cli.follow.time.monotonic", lambda: now[0])
    lines = PlainLines(out)
    lines.show("Train", Progress("working", None, False))
    told = []
    for _ in range(60):
        before = len(out.getvalue())
        lines.beat()
        if len(out.getvalue()) > before:
            told.append(now[0])
        now[0] += 1.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert set(gaps) == {3.0}


def test_a_change_is_told_at_once_but_not_more_than_every_other_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [100.0], io.StringIO()
    monkeypatch.setattr("ui.cli.follow.time.monotonic", lambda: now[0])
    lines = PlainLines(out)
    for step in range(40):
        lines.show("Train", Progress(f"step {step}", None, step == 39))
        now[0] += 0.5
    told = re.findall(r"step (\d+)", out.getvalue())
    assert told == ["0", "4", "8", "12", "16", "20", "24", "28", "32", "36", "39"]


def test_a_display_without_a_terminal_keeps_talking_while_nobody_reports(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.cli.follow._POLL_SECONDS", 0.01)
    monkeypatch.setattr("ui.cli.follow._QUIET_SECONDS", 0.05)
    said, end = "", time.monotonic() + PATIENCE_SECONDS
    with display() as on:
        on.show("Train", Progress("working", None, False))
        while said.count("Train: working") < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
            said += capsys.readouterr().out


def test_following_waits_for_a_gateway_that_is_away_or_late_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.cli.follow._POLL_SECONDS", 0.0)
    answers: list[Any] = [
        Progress("a", None, False),
        GatewayError("UNAVAILABLE", "Gone.", ""),
        GatewayError("DEADLINE_EXCEEDED", "Late.", ""),
        Progress("b", None, True),
    ]
    out = io.StringIO()

    def read() -> Progress:
        one = answers.pop(0)
        if isinstance(one, GatewayError):
            raise one
        return Progress(*one.__dict__.values())

    assert follow("Test", read, PlainLines(out)).text == "b"
    assert "Gone." in out.getvalue() or answers == []


def test_following_ends_with_an_error_that_waiting_does_not_mend() -> None:
    def read() -> Progress:
        raise GatewayError("NOT_FOUND", "There is no such run.", "")

    with pytest.raises(GatewayError, match="no such run"):
        follow("Test", read, PlainLines(io.StringIO()))


def test_a_job_document_reads_as_one_line() -> None:
    document = {"phase": "start", "num_done": "3", "num_total": "20", "unit": "steps", "message": "near"}
    progress = job_progress({"kind": "training_job", "state": "JOB_STATE_RUNNING", "progress": document}, "loss 0.5")
    assert (progress.text, progress.fraction, progress.is_final) == (
        "starting to train · 3 of 20 steps · loss 0.5",
        0.15,
        False,
    )
    assert job_progress({"state": "JOB_STATE_FAILED"}).is_final


def test_a_job_whose_total_is_not_known_says_how_far_it_is() -> None:
    document = {"phase": "read", "num_done": "5000", "num_total": "0", "unit": "rows"}
    progress = job_progress({"kind": "dataset_import", "state": "JOB_STATE_RUNNING", "progress": document})
    assert (progress.text, progress.fraction) == ("reading the rows · 5000 rows", None)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ("My Model v1.5", "my-model-v1.5"),
        ("Ünïcode.gguf", "n-code"),
    ],
)
def test_a_model_is_named_after_its_file(path: str, name: str) -> None:
    assert model_id_of_source(Path(path)) == name
    assert set(model_id_of(path)) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "not a url at all://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Gateway(url)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_nobody_at_the_address_is_said_plainly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(GatewayError) as caught:
            Gateway(address).get("/models")
    assert caught.value.problem == f"No gateway answers at http://{address}."
    assert "drillyard up" in caught.value.next_step


@pytest.mark.parametrize("body", [b"<html>Not found</html>", b"[]", b'{"error": 1}'])
def test_another_server_is_not_taken_for_a_gateway(body: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(GatewayError) as caught:
            Gateway(f"127.0.0.1:{server.server_port}").get("/models")
    assert "not the gateway's" in caught.value.problem


def test_what_started_is_not_ready_while_a_service_is_out_of_reach() -> None:
    class Gateless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_away = self.path.startswith("/api/v1/loops")
            self.send_response(503 if is_away else 200)
            self.end_headers()
            self.wfile.write(b'{"code": "UNAVAILABLE", "problem": "No way leads there.", "next_step": ""}')

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Gateless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(StartError, match=r"cannot be used: No way leads there\."):
            try_out(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_run_that_is_over_tells_its_tokens_per_second() -> None:
    job = {"state": "JOB_STATE_SUCCEEDED", "start_time": "2026-11-22T10:00:00Z", "end_time": "2026-11-22T10:00:10Z"}
    assert speed_text({"job": job, "num_generated_tokens": "1200"}) == "120 tokens/s"
    assert speed_text({"job": job | {"worked_seconds": 4.0}, "num_generated_tokens": "1200"}) == "300 tokens/s"
    assert speed_text({"job": job, "num_generated_tokens": "0"}) == ""
    assert speed_text({"job": job | {"end_time": ""}, "num_generated_tokens": "1200"}) == ""


@pytest.mark.parametrize("state", ["PAUSED", "FAILED", "CANCELLED"])
def test_a_job_that_does_not_work_does_not_say_what_it_was_at(state: str) -> None:
    progress = {"phase": "load_model", "num_done": "0", "num_total": "9", "message": "The model is being loaded."}
    assert job_progress({"state": f"JOB_STATE_{state}", "progress": progress}).text == f"{state.lower()} · 0 of 9"


def test_verdicts_so_far_are_counted() -> None:
    overall = {"num_cases": 40, "conforming_rate": 0.5, "accepted_rate": 0.6}
    assert verdict_text({"metrics": {"overall": overall}}) == "40 judged: 20 conform, 4 only accepted, 16 fail"
    assert verdict_text({"metrics": {"overall": overall | {"accepted_rate": 0.5}}}) == "40 judged: 20 conform, 20 fail"
    assert verdict_text({}) == ""


def test_an_interval_is_told_only_where_one_is_known() -> None:
    assert interval_text({"conforming_interval": {"low": 0.25, "high": 0.5}}) == "25.0 to 50.0 %"
    assert interval_text({"conforming_interval": {"low": -0.1, "high": 0.0}}) == "-10.0 to 0.0 %"
    assert interval_text({"conforming_interval": {"low": 0, "high": 0}}) == interval_text({}) == ""
