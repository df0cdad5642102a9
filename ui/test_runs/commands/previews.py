"""`drillyard test preview`: the exact text and token ids that a model reads."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.options import Common, command
from ui.cli.output import connected, show
from ui.test_runs.commands.group import ModelArgument, app

Suite = Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")]


@command(app, "preview")
def preview(
    model: ModelArgument,
    case: Annotated[str, typer.Option(help="A case of the suite.")],
    common: Common,
    suite: Suite = "roo_xml/core",
    prompt_size: Annotated[str, typer.Option(help="A size that the protocol has, such as full.")] = "compact",
) -> None:
    """Show what a model reads for a case: the text as its template renders it, and the token ids."""
    with connected(common) as gateway:
        version = gateway.get(f"/test-suites/{suite}")["test_suite_version"]["test_suite_version_id"]
        asked = {
            "model_version_id": model,
            "test_suite_version_id": version,
            "case_id": case,
            "prompt_size": prompt_size,
        }
        body = gateway.post("/prompts/render", asked)
        show(body, as_json=common.as_json, table=lambda: _print(body))


def _print(body: Document) -> None:
    print(body["text"])
    print(f"── {len(body['token_ids'])} tokens")
    print(" ".join(str(one) for one in body["token_ids"]))
    if body["tools"]:
        print(f"── {len(body['tools'])} function definitions went beside the text")
