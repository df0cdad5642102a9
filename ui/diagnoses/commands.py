"""`drillyard doctor`: whether a model's chat template and settings can carry a protocol, or a machine everything."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from drillyard.test_runner.v1.diagnosis_pb2 import DiagnoseModelRequest

from ui.cli.connection import Document
from ui.cli.fields import FieldOptions
from ui.cli.options import Common
from ui.cli.output import EXIT_FAILED, connected, counted, print_table, show
from ui.cli.up import DataDir

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
    model: Annotated[
        str, typer.Argument(help="A model version, a model for its newest, or `system` for this machine.")
    ],
    settings: Settings,
    common: Common,
    data: DataDir = Path("data"),
) -> None:
    """Check a model's chat template and settings against a protocol, or this machine; status 1 on an error."""
    if model == "system":
        _doctor_system(common, data)
        return
    with connected(common) as gateway:
        diagnosis = gateway.post(f"/models/{model}/diagnosis", {"profile_id": "roo_xml", **settings})
        show(diagnosis, as_json=common.as_json, table=lambda: _print(diagnosis))
    if any(finding["severity"] == "SEVERITY_ERROR" for finding in diagnosis["findings"]):
        raise typer.Exit(EXIT_FAILED)


def _doctor_system(common: Common, data: Path) -> None:
    # What it is made with would slow the start of every command.
    from ui.diagnoses.system import check_system

    with connected(common) as gateway:
        checks = list(check_system(data, gateway))
    rows = [(check.name, check.severity, check.found, check.mend) for check in checks]
    columns = ("what", "state", "found", "what to do")
    documents = {"checks": [asdict(check) for check in checks]}
    show(documents, as_json=common.as_json, table=lambda: print_table("", columns, rows, empty=""))
    if any(check.severity == "error" for check in checks):
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
