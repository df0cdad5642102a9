"""`drillyard doctor`: whether a model's chat template and settings can carry a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ui.cli.connection import Document
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, counted, print_table, show


@dataclass(frozen=True)
class Served:
    """The options that name a live server."""

    endpoint: Annotated[
        str, typer.Option("--endpoint", help="Compare with a live server, such as http://127.0.0.1:8080/v1.")
    ] = ""
    endpoint_model: Annotated[str, typer.Option("--endpoint-model", help="Name of the model at the server.")] = ""
    api_key_secret: Annotated[
        str, typer.Option("--api-key-secret", help="Name of the secret that holds the server's key.")
    ] = ""
    num_ctx: Annotated[int, typer.Option("--num-ctx", help="Tokens of context that Ollama is asked for.")] = 0


@dataclass(frozen=True)
class Carried:
    """The options that say what the model is to carry."""

    profile: Annotated[str, typer.Option("--profile", help="The protocol.")] = "roo_xml"
    size: Annotated[str, typer.Option("--size", help="Prompt size of the protocol, such as compact or full.")] = ""
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Longest answer; 0 means 192.")] = 0


def doctor(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    carried: Carried,
    served: Served,
    common: Common,
) -> None:
    """Check a model's chat template and settings against a protocol; ends with status 1 when it finds an error."""
    body: Document = {
        "profile_id": carried.profile,
        "prompt_size": carried.size,
        "max_new_tokens": carried.max_new_tokens,
    }
    if served.endpoint:
        body["endpoint"] = {
            "base_url": served.endpoint,
            "model": served.endpoint_model,
            "api_key_secret": served.api_key_secret,
            "num_ctx": served.num_ctx,
        }
    with connected(common) as gateway:
        found = gateway.post(f"/models/{model}/diagnosis", body)
        show(found, as_json=common.as_json, table=lambda: _print(found))
    if any(one["severity"] == "SEVERITY_ERROR" for one in found["findings"]):
        raise typer.Exit(EXIT_FAILED)


def _print(found: Document) -> None:
    for one in found["findings"]:
        rows = [("problem", one["problem"]), ("fix", one["fix"]), ("evidence", one["evidence"])]
        title = f"{_severity(one)}: {one['code']}"
        print_table(title, ("", ""), [row for row in rows if row[1]], empty="")
    counts = f"{counted(len(found['checks']), 'check')}, {counted(len(found['findings']), 'finding')}."
    context = found["num_context_tokens"] or "unknown"
    print(f"{counts} The longest prompt has {found['num_prompt_tokens']} tokens; the model's context holds {context}.")


def _severity(one: Document) -> str:
    return str(one["severity"]).removeprefix("SEVERITY_").lower()
