"""`drillyard test`: run a model on a suite, read and compare the results."""

from ui.test_runs.commands import comparing
from ui.test_runs.commands import lm_eval
from ui.test_runs.commands import previews
from ui.test_runs.commands import reading
from ui.test_runs.commands import running
from ui.test_runs.commands import steering  # noqa: F401
from ui.test_runs.commands.group import app

__all__ = ["app"]
