"""`drillyard sessions`: what real clients asked, recorded until a person keeps or forgets it."""

from __future__ import annotations

import getpass
from typing import Annotated, TypeAlias

import typer
from drillyard.feedback.v1.chat_session_pb2 import SessionSuiteSpec

from ui.cli.connection import Document, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, counted, print_table, show
from ui.evaluations.feedback.answers import messages_of
from ui.evaluations.feedback.commands import text_or_file
from ui.shared.words import size_text

app = typer.Typer(help="Look through what clients asked at /v1/sessions/NAME, and keep it to learn from or forget it.")
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="A recorded session.")]
Settings: TypeAlias = Annotated[Document, FieldOptions(SessionSuiteSpec, ("suite_name", "turns"))]
_SHOWN = 100


@listing(app)
@command(app, "list")
def list_sessions(common: Common) -> None:
    """List recorded sessions by name."""
    with connected(common) as gateway:
        sessions = gateway.every("/sessions", "chat_sessions")
        rows = [
            (
                each["session_id"],
                each["num_answers"],
                size_text(int(each["size_bytes"])),
                each["update_time"][:16].replace("T", " "),
                "kept" if each["is_kept"] else "",
            )
            for each in sessions
        ]
        columns = ("session", "answers", "size", "last answer", "")
        empty = "Nothing is recorded. Point a client at http://…/v1/sessions/NAME."
        show(sessions, as_json=common.as_json, table=lambda: print_table("", columns, rows, empty=empty))


@command(app, "show")
def show_session(session_id: SessionId, common: Common) -> None:
    """List the answers of a session; with --json whole, secrets and home folders masked."""
    with connected(common) as gateway:
        answers = gateway.every(f"/sessions/{session_id}/answers", "recorded_answers")
        columns = ("answer", "when", "asked", "answered")
        show(answers, as_json=common.as_json, table=lambda: print_table("", columns, map(_row, answers), empty=""))


@command(app, "keep")
def keep(session_id: SessionId, common: Common) -> None:
    """Keep a session, so that its answers can be rated, corrected and learnt from."""
    with connected(common) as gateway:
        session = gateway.post(f"/sessions/{session_id}/keep")["chat_session"]
        sentence = (
            f"{session_id} is kept. Say what is right: `drillyard feedback add chatcmpl-… --correction @right.txt`."
        )
        show(session, as_json=common.as_json, table=lambda: print(sentence))


@command(app, "forget")
def forget(session_id: SessionId, common: Common) -> None:
    """Delete what is recorded of a session; feedback that was given on its answers stays."""
    with connected(common) as gateway:
        result = gateway.delete(f"/sessions/{session_id}")
        show(result, as_json=common.as_json, table=lambda: print(f"{session_id} is forgotten."))


@command(app, "suite")
def suite(
    session_id: SessionId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the suite behind its protocol.")],
    settings: Settings,
    common: Common,
    turn: Annotated[
        list[str] | None,
        typer.Option(help="An answer to make a case of; repeatable, else each with a correction."),
    ] = None,
    right: Annotated[
        list[str] | None, typer.Option(help="ANSWER=TEXT or ANSWER=@FILE: what an answer should have been; repeatable.")
    ] = None,
) -> None:
    """Make a private suite of answers of a kept session, each with what it should have been."""
    with connected(common) as gateway:
        right_answers = dict(map(_right_answer, right or ()))
        turns: list[Document] = [{"chat_completion_id": key} for key in turn or () if key not in right_answers]
        turns += [{"chat_completion_id": key, "right_answer": answer} for key, answer in right_answers.items()]
        body = {"author": getpass.getuser(), **settings, "suite_name": name, "turns": turns}
        made = gateway.post(f"/sessions/{session_id}/suites", body)
        names = " and ".join(made["test_suite_version_ids"])
        sentence = f"{counted(made['num_cases'], 'case')} in {names}. Test a model with it: drillyard test-runs start"
        show(made, as_json=common.as_json, table=lambda: print(sentence))


def _right_answer(text: str) -> tuple[str, Document]:
    answer_id, sign, value = text.partition("=")
    if not sign:
        raise GatewayError("INVALID_ARGUMENT", f"{text[:80]!r} names no answer.", "Write ANSWER=TEXT or ANSWER=@FILE.")
    return answer_id, messages_of(text_or_file(value))[0]


def _row(answer: Document) -> tuple[str, ...]:
    *before, last = answer["chat"]["messages"]
    calls = " ".join(f"{call['name']}({call['arguments']})" for call in last["tool_calls"])
    asked = before[-1]["content"] if before else ""
    return (
        answer["chat_completion_id"],
        answer["create_time"][:16].replace("T", " "),
        " ".join(asked.split())[-_SHOWN:],
        " ".join(f"{last['content']} {calls}".split())[:_SHOWN],
    )
