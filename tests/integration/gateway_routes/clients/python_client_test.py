"""The examples of the page on clients, as they stand there, against a gateway with a made-up model."""

import re
from pathlib import Path

import pytest

from services.protocols.profile import get_profile
from tests.fakes.system.services import BASE
from tests.integration.gateway_routes.conftest import Front

PAGE = Path(__file__).resolve().parents[4] / "docs" / "shipping" / "clients.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_the_page_run(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRILLYARD_URL", front.url)
    cases = "\n".join(get_profile("roo_xml").suites()[0].text.splitlines()[:2]).encode()
    made = front.api.upload("/test-suites", cases, test_suite_id="roo_xml/clients")["test_suite_version"]
    for example in EXAMPLES:
        code = example.replace("smollm2@1", BASE).replace("roo_xml/core@1", made["test_suite_version_id"])
        exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 state"
    assert any(line.endswith((" conforms", " no_call")) for line in lines)
    assert any(line.startswith("404 NOT_FOUND There is no loop") for line in lines)
    assert BASE in lines
