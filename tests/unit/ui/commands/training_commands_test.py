"""`drillyard train` against a gateway that has one job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import typer
from drillyard.trainer.v1.preflight_pb2 import TrainingPreflight
from drillyard.trainer.v1.training_job_pb2 import TrainingJob
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner, Result

from ui.cli.__main__ import app
from ui.shared.documents import document

PREFLIGHT: dict[str, Any] = {
    "num_rows": 40,
    "num_checked_rows": 40,
    "num_train_rows": 30,
    "num_validation_rows": 10,
    "num_usable_rows": 30,
    "lengths": {"min": 10, "median": 20, "p95": 30, "max": 40, "limit": 6144, "num_trained_tokens": 300},
    "shared_prefix": {"num_raw_tokens": 1000, "num_unique_tokens": 100, "ratio": 10},
    "memory": {"weights_bytes": 1 << 30, "total_bytes": 2 << 30, "available_bytes": 8 << 30, "num_weights": 10},
    "disk": {"needed_bytes": 1000, "free_bytes": 10**12},
    "duration": {"num_steps": 4, "seconds": 100, "basis": "By 12 tokens a second, measured in train-0."},
    "device": "CPU, 2 cores",
    "row": {
        "line": 3,
        "example_id": "e3",
        "num_tokens": 3,
        "tokens": [{"text": "ask\n", "token_id": 1}, {"text": "an", "span": 1}, {"text": "swer", "span": 1}],
    },
}
JOB: dict[str, Any] = {
    "training_job_id": "train-1",
    "spec": {"model_version_id": "m@1", "dataset_version_id": "d@1", "lora": {"r": 8}, "num_epochs": 2},
    "job": {"state": "JOB_STATE_RUNNING"},
}


class Server(ThreadingHTTPServer):
    """Answers each route with its documents in turn, the last one again and again, and keeps what it was sent."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers, self.sent = answers, list[tuple[str, Any]]()
        super().__init__(("127.0.0.1", 0), Answering)


class Answering(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        route = f"{self.command} {urlsplit(self.path).path.removeprefix('/api/v1/training-jobs')}"
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.sent.append((route, json.loads(content or b"null")))
        answers = self.server.answers[route]
        body = json.dumps(answers.pop(0) if len(answers) > 1 else answers[0]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def gateway(*preflights: dict[str, Any], **more: Any) -> Iterator[Server]:
    told = [
        {"preflight": document(ParseDict({**PREFLIGHT, **item}, TrainingPreflight()))} for item in preflights or ({},)
    ]
    job = {"training_job": document(ParseDict(JOB, TrainingJob()))}
    answers = {"POST /preflight": told, "POST ": [job], "GET /train-1": [job], **more}
    server = Server(answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments, "--url", f"http://127.0.0.1:{server.server_port}"])


def test_no_command_has_two_options_of_one_name() -> None:
    def commands(group: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        yield path, group
        for name, inner in getattr(group, "commands", {}).items():
            yield from commands(inner, f"{path} {name}")

    for path, command in commands(typer.main.get_command(app), "drillyard"):
        names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
        assert len(names) == len(set(names)), path


def test_every_setting_reaches_the_job_under_its_own_name() -> None:
    options = "--method dpo --weights full --rank 4 --rank-pattern down_proj=32 --rank-pattern q_proj=8 --dpo-beta 0.2"
    more = "--grpo-beta 0.01 --schedule linear --init-lora-weights pissa --scratch-layers 2 --loss-type sigmoid_norm"
    with gateway() as server:
        result = run(server, "start", "m", "d", *options.split(), *more.split(), "--no-follow")
    assert result.exit_code == 0, result.output
    assert server.sent[-1] == (
        "POST ",
        {
            "model_version_id": "m",
            "dataset_version_id": "d",
            "method": "TRAINING_METHOD_DPO",
            "trained_weights": "TRAINED_WEIGHTS_FULL",
            "lora": {"r": 4, "rank_pattern": ["down_proj=32", "q_proj=8"], "init_lora_weights": "LORA_INIT_PISSA"},
            "lr_scheduler_type": "LEARNING_RATE_SCHEDULE_LINEAR",
            "dpo": {"beta": 0.2, "loss_type": "PREFERENCE_LOSS_SIGMOID_NORM"},
            "grpo": {"beta": 0.01},
            "scratch": {"num_hidden_layers": 2},
        },
    )


def test_a_method_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with gateway() as server:
        result = run(server, "start", "m", "d", "--method", "ppo")
    assert result.exit_code == 2
    assert all(name in result.output for name in ("sft", "dpo", "grpo"))
    assert server.sent == []


def test_a_dry_run_prints_what_is_known_once_all_rows_were_looked_at_and_starts_nothing() -> None:
    with gateway({"num_checked_rows": 20}, {}) as server:
        result = run(server, "start", "m", "d", "--dry-run", "--line", "3")
    assert result.exit_code == 0, result.output
    assert [route for route, _ in server.sent] == ["POST /preflight"] * 2
    assert server.sent[0][1]["line"] == 3
    for words in ("30 of 30 can be trained on", "10.0 times fewer", "1 min 40 s for 4 steps", "Ready to start."):
        assert words in result.stdout
    assert "ask↵\n[an][swer]" in result.stdout


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_rows_that_are_refused_are_told_and_nothing_is_started(options: tuple[str, ...]) -> None:
    with gateway({"refusals": ["Line 2 of the dataset has an empty answer."]}) as server:
        result = run(server, "start", "m", "d", *options)
    assert result.exit_code == 1
    assert "Line 2 of the dataset has an empty answer." in result.output
    assert [route for route, _ in server.sent] == ["POST /preflight"]


def test_a_dry_run_prints_the_same_for_programs() -> None:
    with gateway() as server:
        result = run(server, "start", "m", "d", "--dry-run", "--json")
    assert json.loads(result.stdout)["shared_prefix"]["ratio"] == 10


def test_a_fork_keeps_the_settings_that_are_not_changed() -> None:
    with gateway() as server:
        result = run(server, "fork", "train-1", "--step", "20", "--dataset", "other@1", "--no-follow")
    assert result.exit_code == 0, result.output
    sent = server.sent[-1][1]
    assert (sent["model_version_id"], sent["dataset_version_id"], sent["lora"]["r"]) == ("m@1", "other@1", 8)
    assert sent["fork"] == {"training_job_id": "train-1", "step": 20}


def test_checkpoints_are_listed_shown_and_deleted() -> None:
    checkpoint = {"step": "20", "size_bytes": "1000", "score": 0.5, "create_time": "", "digest": f"sha256:{'a' * 64}"}
    routes = {
        "GET /train-1/checkpoints": [{"checkpoints": [checkpoint], "next_page_token": ""}],
        "GET /train-1/checkpoints/20": [{"checkpoint": checkpoint}],
        "DELETE /train-1/checkpoints/20": [{}],
    }
    with gateway(**routes) as server:
        listed, shown = (
            run(server, "checkpoints", "list", "train-1"),
            run(server, "checkpoints", "show", "train-1", "20"),
        )
        deleted = run(server, "checkpoints", "delete", "train-1", "20")
    assert "50 %" in listed.stdout
    assert "checkpoint.size_bytes" in shown.stdout
    assert deleted.stdout == "The checkpoint of step 20 is deleted.\n"
    assert server.sent[-1][0] == "DELETE /train-1/checkpoints/20"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_job_is_steered(verb: str) -> None:
    with gateway(**{f"POST /train-1/{verb}": [{"training_job": JOB}]}) as server:
        assert run(server, verb, "train-1").stdout == "train-1 is running.\n"
