"""`drillyard test`: run a model on a suite, read and compare the results."""

from ui.cli.commands.test_runs import comparing, lm_eval, previews, reading, running, steering  # noqa: F401
from ui.cli.commands.test_runs.group import app

__all__ = ["app"]
