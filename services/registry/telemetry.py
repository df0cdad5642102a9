"""Series of the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from services.chassis.telemetry import Telemetry
from services.registry.domain.model_import import SourceKind

_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)


class RegistryTelemetry:
    """How long imports take, by kind of source and by how they ended."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._seconds = telemetry.histogram(
            "drillyard_import_duration_seconds",
            "Time per import.",
            ("source", "outcome"),
            buckets=_BUCKETS,
        )

        # A series that begins with its first event hides that event from every rate.
        for kind in SourceKind:
            for outcome in ("ended_early", "succeeded"):
                self._seconds.labels(kind.value, outcome)

    @asynccontextmanager
    async def import_timed(self, kind: SourceKind) -> AsyncIterator[None]:
        """Observe the block's time."""
        begin, outcome = monotonic(), "ended_early"
        try:
            yield
            outcome = "succeeded"
        finally:
            self._seconds.labels(kind.value, outcome).observe(monotonic() - begin)
