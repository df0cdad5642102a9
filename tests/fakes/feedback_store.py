"""The loop store in memory: what a loop is lies in its job, so it is the real store over the jobs that end here."""

from __future__ import annotations

from services.chassis.jobs import MemoryJobStore
from services.feedback.store.jobs import JobLoopStore


class MemoryLoopStore(JobLoopStore):
    """Loops that end with the test; `jobs` is what a runner works on."""

    def __init__(self) -> None:
        self.jobs = MemoryJobStore()
        super().__init__(self.jobs)
