"""`drillyard feedback`: say what is right and wrong about answers."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from drillyard.feedback.v1.agreement_pb2 import MeasureAgreementRequest
from drillyard.feedback.v1.feedback_file_pb2 import ExportFeedbackItemsRequest
from drillyard.feedback.v1.feedback_item_pb2 import ListFeedbackItemsRequest

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import display, follow, job_progress
from ui.cli.jobs import refuse_failed
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, print_facts, print_table, show
from ui.evaluations.feedback.answers import messages_of
from ui.evaluations.feedback.words import verdict_words, what_is_said

app = typer.Typer(help="Say what is right and wrong about answers, and measure how far people agree with the judge.")
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="A feedback item.")]
_MOST = 1000
_NAMES = {
    "profile_id": "profile",
    "model_version_id": "model",
    "test_suite_version_id": "suite",
    "transcript_id": "transcript",
    "is_contradicted": "contradicted",
}
Filters = Annotated[Document, FieldOptions(ListFeedbackItemsRequest, ("page_size", "page_token"), _NAMES)]
ExportFilters = Annotated[Document, FieldOptions(ExportFeedbackItemsRequest, (), _NAMES)]
AgreementFilters = Annotated[Document, FieldOptions(MeasureAgreementRequest, (), _NAMES)]


@dataclass(frozen=True)
class Said:
    """What is said of an answer."""

    rating: Annotated[int | None, typer.Option(help="-1 or 1; with --stars 1 to 5.")] = None
    stars: Annotated[bool, typer.Option(help="The rating counts stars.")] = False
    correction: Annotated[str, typer.Option(help="The right answer, or @FILE; text or OpenAI's messages.")] = ""
    better: Annotated[str, typer.Option(help="An answer that is better than this one, or @FILE.")] = ""
    worse: Annotated[str, typer.Option(help="An answer that is worse than this one, or @FILE.")] = ""
    over: Annotated[str, typer.Option(help="Another transcript of the case whose answer is worse.")] = ""
    tag: Annotated[str, typer.Option(help="A word to find answers by.")] = ""
    note: Annotated[str, typer.Option(help="A remark.")] = ""

    def body(self) -> Document:
        """Return it in the form of the wire."""
        body: Document = {"tag": self.tag, "note": self.note}
        if self.rating is not None:
            body["rating"] = {"value": self.rating, "scale": f"RATING_SCALE_{'STARS' if self.stars else 'THUMBS'}"}
        if self.correction:
            body["correction"] = {"answers": messages_of(text_or_file(self.correction))}
        if self.better or self.worse or self.over:
            sides = {"chosen": self.better, "rejected": self.worse}
            body["preference"] = {name: messages_of(text_or_file(text))[0] for name, text in sides.items() if text}
            body["preference"]["over_transcript_id"] = self.over
        return body


@dataclass(frozen=True)
class Place:
    """Which answer is meant, and who speaks of it."""

    turn: Annotated[int, typer.Option(help="Number of the answer in the transcript, from 0.")] = 0
    case: Annotated[str, typer.Option(help="The case that you mean; the transcript must answer it.")] = ""
    replaces: Annotated[str, typer.Option(help="An item of yours that this one takes the place of.")] = ""
    author: Annotated[str, typer.Option(help="Who says it; by default you.")] = ""


@command(app, "add")
def add(
    subject: Annotated[str, typer.Argument(metavar="ANSWER", help="A transcript, or the id of a stored chat answer.")],
    said: Said,
    place: Place,
    common: Common,
) -> None:
    """Rate, correct, prefer, tag or annotate an answer; a correction is judged at once."""
    field = "chat_completion_id" if subject.startswith("chatcmpl-") else "transcript_id"
    place_body = {
        field: subject,
        "turn": place.turn,
        "case_id": place.case,
        "replaces_feedback_item_id": place.replaces,
        "author": place.author or getpass.getuser(),
    }
    with connected(common) as gateway:
        body = {**place_body, **said.body()}
        item = gateway.post("/feedback", body)["feedback_item"]
        show(item, as_json=common.as_json, table=lambda: _print_said(item))


@listing(app)
@command(app, "list")
def list_items(filters: Filters, common: Common) -> None:
    """List feedback items, newest first."""
    with connected(common) as gateway:
        items = gateway.every("/feedback", "feedback_items", limit=_MOST, **filters)
        columns = ("item", "when", "who", "case", "says", "judge", "used by")
        empty = "No feedback fits. Add some with `drillyard feedback add TRANSCRIPT --rating -1`."
        show(items, as_json=common.as_json, table=lambda: print_table("", columns, map(_row, items), empty=empty))


@command(app, "show")
def show_item(feedback_item_id: ItemId, common: Common) -> None:
    """Show one feedback item with the judge's verdicts."""
    with connected(common) as gateway:
        item = gateway.get(f"/feedback/{feedback_item_id}")["feedback_item"]
        show(item, as_json=common.as_json, table=lambda: print_facts(item))


@command(app, "withdraw")
def withdraw(feedback_item_id: ItemId, common: Common, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Withdraw an item: datasets that are built from then on do not have it."""
    with connected(common) as gateway:
        item = gateway.post(f"/feedback/{feedback_item_id}/withdraw", {"reason": reason})["feedback_item"]
        show(item, as_json=common.as_json, table=lambda: print(f"{feedback_item_id} is withdrawn."))


@command(app, "import")
def import_items(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSONL, one item a line.")],
    common: Common,
    follow_it: Follow = True,
) -> None:
    """Store all items of a file, or none of them."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        result = gateway.upload("/feedback-imports", file.read_bytes())["feedback_import"]
        path = f"/feedback-imports/{result['feedback_import_id']}"
        sentence = f"{result['feedback_import_id']} stores them."
        if follow_it:
            follow("Import", lambda: job_progress(gateway.get(path)["feedback_import"]["job"]), on)
            result = gateway.get(path)["feedback_import"]
            refuse_failed(result["job"], as_json=common.as_json)
            sentence = f"{result['num_imported']} items are stored; {result['num_known']} were here already."
        show(result, as_json=common.as_json, table=lambda: print(sentence))


@command(app, "export")
def export(
    filters: ExportFilters,
    common: Common,
    out: Annotated[Path, typer.Option("--out", help="File or folder.")] = Path("feedback.jsonl"),
) -> None:
    """Write feedback items to a file that `import` takes."""
    with connected(common) as gateway:
        path = downloaded(gateway, "/feedback/export", out, filters)
        show({"path": str(path)}, as_json=common.as_json, table=lambda: print(f"The items are in {path}."))


@command(app, "agreement")
def agreement(filters: AgreementFilters, common: Common) -> None:
    """Say how far people and the judge agree, and on which answers they differ."""
    with connected(common) as gateway:
        result = gateway.get("/feedback/agreement", **filters)["agreement"]
        items = gateway.every("/feedback", "feedback_items", limit=20, disagrees=True, **filters)

        def table() -> None:
            print(result["sentence"])
            columns = ("item", "when", "who", "case", "says", "judge", "used by")
            print_table("Where they differ", columns, map(_row, items), empty="They differ nowhere.")

        show(result, as_json=common.as_json, table=table)


def downloaded(gateway: Gateway, path: str, out: Path, query: Document) -> Path:
    """Write what is at a path to a file, whole or not at all, and return where it is."""
    try:
        return gateway.download(path, out, **query)
    except OSError as error:
        problem = f"The file {out} cannot be written: {error.strerror}."
        raise GatewayError("FAILED_PRECONDITION", problem, "Name another place with --out.") from None


def text_or_file(value: str) -> str:
    """Return a value, or what the file holds that it names behind an `@`."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError("INVALID_ARGUMENT", f"{value[1:]} cannot be read: {error}.", "Name a text file.") from None


def _row(item: Document) -> tuple[object, ...]:
    subject = item["subject"]
    return (
        item["feedback_item_id"],
        item["create_time"][:16].replace("T", " "),
        item["author"],
        subject["case_id"] or subject["chat_completion_id"] or "a chat",
        what_is_said(item),
        verdict_words(item.get("verdict")),
        ", ".join(item["dataset_version_ids"]),
    )


def _print_said(item: Document) -> None:
    print(f"{item['feedback_item_id']}: {what_is_said(item)}")
    if verdict := item.get("proposal_verdict"):
        kept = "" if verdict["conforming"] else " It is kept, and never trained."
        print(f"The judge on the proposed answer: {verdict['sentence'] or verdict_words(verdict)}{kept}")
    elif item["disagrees"]:
        print(f"The judge says otherwise: {item['verdict']['sentence'] or verdict_words(item['verdict'])}")
