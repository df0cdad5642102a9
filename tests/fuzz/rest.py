"""REST and OpenAI's routes against drawn requests: `python -m tests.fuzz.rest --examples 100`; 1 when anything broke.

Schemathesis reads the gateway's `/openapi.json` and asks all that stands in it, in front of services with a made-up
model. An answer of 5xx breaks, and so does one whose code, media type, headers or body are not declared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

from tests.integration.processes import ROOT, start_service
from tests.integration.system_process import running_system

# In an environment of its own: it brings two dozen packages that nothing else needs.
SCHEMATHESIS = ("uv", "tool", "run", "--from", "schemathesis==4.32.5", "schemathesis")
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


# Where what is there is listed.
_LISTS = ("models", "model-versions", "datasets", "test-suites", "test-runs", "evaluations", "training-jobs", "loops")


def known_ids(address: str) -> dict[str, list[str]]:
    """Return the ids that the gateway's lists show, by the names of their fields."""
    ids: dict[str, set[str]] = {}
    for noun in _LISTS:
        for documents in httpx2.get(f"http://{address}/api/v1/{noun}", timeout=120).json().values():
            for document in documents if isinstance(documents, list) else ():
                for name, value in {**document, **document.get("spec", {})}.items():
                    if name.endswith("_id") and isinstance(value, str) and value:
                        ids.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in ids.items()}


def main() -> int:
    """Ask, and tell what broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.rest")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("options", nargs="*", help="more options of `schemathesis run`, after --")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="drillyard-fuzz-") as folder,
        running_system(Path(folder)) as system,
        start_service("gateway", Path(folder), port=0, **system.addresses) as gateway,
    ):
        # What would never end only takes the processor.
        system.model.holds = False
        command = [*SCHEMATHESIS, "run", f"http://{gateway.address}/openapi.json", "--phases", "coverage,fuzzing"]
        command += ["--checks", ",".join(CHECKS), "--seed", str(arguments.seed), "--continue-on-failure"]
        command += ["--max-examples", str(arguments.examples), "--suppress-health-check", "all"]
        # A busy machine is no fault.
        command += ["--request-timeout", "120", "--wait-for-schema", "120"]
        command += ["--generation-database", "none"]
        command += ["--report", "json", "--report-json-path", "rest.json"]
        arguments.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.fuzz.rest_hooks"}
        environment["FUZZED_IDS"] = json.dumps(known_ids(gateway.address))
        return subprocess.run(
            [*command, *arguments.options], cwd=arguments.folder, env=environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
