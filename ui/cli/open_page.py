"""`drillyard open`: the page of a job or a suite, in the browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from ui.cli.connection import Gateway, GatewayError
from ui.cli.options import Common
from ui.cli.output import connected, show

# Where the gateway is asked, what its answer holds, the field of that which the page wants, the page and its parameter.
_PAGES = (
    ("/test-runs", "test_run", "test_run_id", "/test-runs", "run"),
    ("/evaluations", "evaluation", "test_run_id", "/test-runs", "run"),
    ("/training-jobs", "training_job", "training_job_id", "/training-jobs", "job"),
    ("/loops", "loop", "loop_id", "/loops", "loop"),
    ("/schedules", "schedule", "schedule_id", "/schedules", "schedule"),
    ("/shipments", "shipment", "shipment_id", "/shipments", "shipment"),
    ("/test-suites", "test_suite_version", "test_suite_version_id", "/test-suites", "suite"),
)


def open_page(
    name: Annotated[
        str, typer.Argument(help="Id of a run, evaluation, training job, loop, schedule or shipment, or a suite.")
    ],
    common: Common,
) -> None:
    """Open the page of a job or a suite in the browser, and print its address."""
    with connected(common) as gateway:
        url = _url_of(gateway, name)
    webbrowser.open(url)
    show({"url": url}, as_json=common.as_json, table=lambda: print(url))


def _url_of(gateway: Gateway, name: str) -> str:
    # Only names of suites have a slash.
    for path, noun, field, page, parameter in _PAGES if "/" not in name else _PAGES[-1:]:
        try:
            document = gateway.get(f"{path}/{name}")[noun]
        except GatewayError as error:
            if error.code not in ("NOT_FOUND", "INVALID_ARGUMENT"):
                raise
            continue
        return f"{gateway.url}{page}?{parameter}={quote(str(document[field]), safe='@/')}"
    raise GatewayError(
        "NOT_FOUND", f"Nothing here has the id {name!r}.", "Copy one from a list, such as `drillyard test-runs`."
    )
