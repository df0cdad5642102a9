import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from services.chassis.errors import Unavailable
from services.chassis.logs import configure_logs

SECRETS = (
    "hf_abcdefghijklmnopqrstuvwx",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_abcdefghijklmnopqrstuvwxyz012345",
    "sk-abcdefghijklmnopqrstuvwx",
    "hunter2",
)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_one_line_of_json_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="registry", log_format="json")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("model_imported", model_id="m1", size_bytes=3)
    (record,) = records(capsys)
    assert record.pop("timestamp")
    assert record == {
        "event": "model_imported",
        "service": "registry",
        "level": "info",
        "request_id": "r1",
        "model_id": "m1",
        "size_bytes": 3,
    }


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_forged_record_in_a_value_stays_a_value(
    capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]
) -> None:
    configure_logs(service="registry", log_format=log_format)
    forged = 'x\n{"event":"forged"}\r\x1b[2J\u2028end'
    structlog.get_logger().info("model_imported", name=forged)
    logging.getLogger("library").warning("odd name %s", forged)
    out = capsys.readouterr().err
    assert len(out.splitlines()) == 2
    assert "\x1b[2J" not in out


def test_secrets_are_redacted_by_name_and_by_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="registry", log_format="json")
    structlog.get_logger().info(
        "pull",
        hub_token="short",
        password="x1",
        nested={"Authorization": "y2", "url": "https://user:hunter2@host/x"},
        database=["postgresql+psycopg://drill:hunter2@db/x"],
        note=f"tried {SECRETS[0]} and {SECRETS[1]}",
        header="Bearer abcdefghij.klmno",
    )
    logging.getLogger("library").error("failed with %s and %s", SECRETS[2], SECRETS[3])
    try:
        raise ValueError(f"refused {SECRETS[0]}")
    except ValueError:
        structlog.get_logger().exception("pull_failed")
    out = capsys.readouterr().err
    leaked = [word for word in (*SECRETS, "short", "x1", "y2", "abcdefghij.klmno") if f"{word}" in out]
    assert leaked == []
    assert "user" not in out or "host/x" in out


def test_counts_of_tokens_are_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="trainer", log_format="json")
    structlog.get_logger().info("step", num_tokens=7, tokens_per_second=50.0, page_token="NQ==")
    (record,) = records(capsys)
    assert (record["num_tokens"], record["tokens_per_second"], record["page_token"]) == (7, 50.0, "NQ==")


def test_records_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="trainer", level="warning", log_format="json")
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_huge_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="trainer", log_format="json")
    structlog.get_logger().info("odd", name="x" * 1_000_000)
    assert len(capsys.readouterr().err) < 10_000


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nobodys_home_is_named(capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]) -> None:
    configure_logs(service="registry", log_format=log_format)
    structlog.get_logger().info(
        "model_imported", path="/home/jane/models/m.gguf", others=["/Users/jane/x", "/root/.cache"]
    )
    logging.getLogger("library").warning("no file /home/jane: given up")
    try:
        raise FileNotFoundError("/home/jane/models/m.gguf")
    except FileNotFoundError:
        structlog.get_logger().exception("import_failed")
    out = capsys.readouterr().err
    assert "jane" not in out and "/root" not in out
    assert "~/models/m.gguf" in out and "~/.cache" in out


def test_a_trace_has_the_words_of_our_errors_and_of_no_library(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="registry", log_format="json")
    word = "canary-of-a-prompt"
    try:
        try:
            {"cases": 1}[word]
        except KeyError as error:
            raise Unavailable("The store is away.") from error
    except Unavailable:
        structlog.get_logger().exception("rpc_failed")
    out = capsys.readouterr().err
    assert word not in out
    assert "KeyError" in out and "Unavailable: The store is away." in out and "logs_test.py" in out


def test_what_another_program_said_is_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    words = "Traceback (most recent call last):\n  …\nAnError: before\nlm.TemplateError: my prompt"
    for log_format in ("json", "console"):
        configure_logs(service="test-runner", log_format=log_format)
        structlog.get_logger().warning("worker_died", last_words=words, fault_words="my prompt", exit_code=1)
    first, rest = capsys.readouterr().err.split("\n", 1)
    record = json.loads(first)
    assert record["last_words"] == f"lm.TemplateError of {len(words)} characters"
    assert (record["fault_words"], record["exit_code"]) == ("text of 9 characters", 1)
    assert rest.count("my prompt") == 2


def test_an_error_that_is_among_its_own_causes_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(service="registry", log_format="json")
    error = Unavailable("The registry is away.", "Wait.")
    error.__cause__ = ValueError("inner")
    error.__cause__.__context__ = error
    structlog.get_logger().error("rpc_failed", exc_info=error)
    (record,) = records(capsys)
    assert str(record["exception"]).count("The registry is away.") == 1
