"""The service's settings, read once from variables that begin with `FEEDBACK_`."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import ServiceSettings


class FeedbackSettings(ServiceSettings, env_prefix="FEEDBACK_"):
    """Where the other services are."""

    registry_address: str = "127.0.0.1:50051"
    test_runner_address: str = "127.0.0.1:50052"
    evaluator_address: str = "127.0.0.1:50053"
    trainer_address: str = "127.0.0.1:50054"
    max_running_loops: int = Field(default=4, ge=1, le=100)
    max_running_builds: int = Field(default=1, ge=1, le=100)
    max_running_scheduled_runs: int = Field(default=4, ge=1, le=100)
    max_running_shipments: int = Field(default=1, ge=1, le=100)
    # Recorded sessions that nobody has kept.
    session_days: int = Field(default=30, ge=1, le=3650)
    session_megabytes: int = Field(default=512, ge=1)
