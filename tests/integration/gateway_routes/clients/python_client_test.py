"""The examples of the page on clients, as they stand there, against a gateway with a made-up model."""

import re
from pathlib import Path

import pytest

from tests.fakes.system.services import BASE
from tests.integration.gateway_routes.conftest import Front

PAGE = Path(__file__).resolve().parents[4] / "docs" / "shipping" / "clients.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_the_page_run(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRILLYARD_URL", front.url)
    for example in EXAMPLES:
        exec(compile(example.replace("smollm2@1", BASE), str(PAGE), "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 state"
    assert any(line.endswith((" conforms", " no_call")) for line in lines)
    assert any(line.startswith("404 NOT_FOUND There is no loop") for line in lines)
    assert lines[-1] == BASE or BASE in lines
