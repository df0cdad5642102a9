"""What a program from elsewhere may take: it is stopped, and the process goes on or ends by the right signal."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.lm.errors import LimitExceeded
from services.lm.process import bounded_template
from tests.machine import PATIENCE_SECONDS

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def render(template: str) -> str:
    return ImmutableSandboxedEnvironment().from_string(template).render(n=11)


@pytest.mark.parametrize(
    ("template", "reason"), [(LOOP, "longer than"), ("{{ 'x' * 10 ** n }}", "more than 64 MiB of memory")]
)
def test_a_template_that_takes_too_much_is_stopped(template: str, reason: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(LimitExceeded, match=reason), bounded_template(0.2, 64 << 20):
        render(template)
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits
    assert signal.getitimer(signal.ITIMER_REAL) == signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert render("{{ n }}") == "11"


def test_code_that_takes_the_exception_for_its_own_does_not_go_on() -> None:
    with pytest.raises(LimitExceeded), bounded_template(0.1, 64 << 20):
        while True:
            try:
                render(LOOP)
            except ValueError:
                render(LOOP)


def test_a_computation_that_nothing_interrupts_ends_the_process() -> None:
    program = "from services.lm.process import bounded_template\nwith bounded_template(0.2, 1 << 30): sum(iter(int, 1))"
    root = Path(__file__).parents[4]
    ended = subprocess.run([sys.executable, "-c", program], check=False, cwd=root, timeout=PATIENCE_SECONDS)
    assert ended.returncode == -signal.SIGVTALRM
