"""Where the backend of a workload is chosen."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.test_runner.ports import GenerationBackend, GenerationEvent, Workload


class BackendChoice:
    """Served models where the workload names an endpoint, worker processes everywhere else."""

    def __init__(self, *, workers: GenerationBackend, endpoints: GenerationBackend) -> None:
        self._workers, self._endpoints = workers, endpoints

    def generate(self, workload: Workload) -> AsyncGenerator[GenerationEvent]:
        """Yield what the chosen backend yields."""
        backend = self._workers if workload.endpoint is None else self._endpoints
        return backend.generate(workload)
