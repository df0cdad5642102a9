"""`drillyard test`: run a model on a suite, read and compare the results."""

from ui.test_runs.commands import comparing, lm_eval, previews, reading, running, steering
from ui.test_runs.commands.group import app

__all__ = ["app", "comparing", "lm_eval", "previews", "reading", "running", "steering"]
