"""`drillyard test-runs`: run a model on a suite, read and compare the results."""

from ui.test_runs.commands import lm_eval, records, running
from ui.test_runs.commands.results import app

__all__ = ["app", "lm_eval", "records", "running"]
