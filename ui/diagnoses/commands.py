"""`drillyard doctor`: whether a model's chat template and settings can carry a protocol."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest

from ui.cli.connection import Document
from ui.cli.fields import FieldOptions
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, counted, print_table, show

_NAMES = {
    "profile_id": "profile",
    "prompt_size": "size",
    "endpoint.base_url": "endpoint",
    "endpoint.model": "endpoint-model",
    "endpoint.num_ctx": "num-ctx",
    "endpoint.tool_mode": "tools",
    "endpoint.max_concurrency": "concurrency",
}
Settings: TypeAlias = Annotated[Document, FieldOptions(DiagnoseModelRequest, ("model_version_id",), _NAMES)]


def doctor(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    settings: Settings,
    common: Common,
) -> None:
    """Check a model's chat template and settings against a protocol; ends with status 1 when it finds an error."""
    with connected(common) as gateway:
        diagnosis = gateway.post(f"/models/{model}/diagnosis", {"profile_id": "roo_xml", **settings})
        show(diagnosis, as_json=common.as_json, table=lambda: _print(diagnosis))
    if any(finding["severity"] == "SEVERITY_ERROR" for finding in diagnosis["findings"]):
        raise typer.Exit(EXIT_FAILED)


def _print(diagnosis: Document) -> None:
    for finding in diagnosis["findings"]:
        rows = [(name, finding[name]) for name in ("problem", "fix", "evidence") if finding[name]]
        severity = finding["severity"].removeprefix("SEVERITY_").lower()
        print_table(f"{severity}: {finding['code']}", ("", ""), rows, empty="")
    counts = f"{counted(len(diagnosis['checks']), 'check')}, {counted(len(diagnosis['findings']), 'finding')}."
    context = diagnosis["num_context_tokens"] or "unknown"
    longest = diagnosis["num_prompt_tokens"]
    print(f"{counts} The longest prompt has {longest} tokens; the model's context holds {context}.")
