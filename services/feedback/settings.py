"""The service's settings, read once from variables that begin with `FEEDBACK_`."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import ServiceSettings


class FeedbackSettings(ServiceSettings, env_prefix="FEEDBACK_"):
    """Where the other services are, and how long one of them may be away before a loop gives up."""

    registry_address: str = "127.0.0.1:50051"
    test_runner_address: str = "127.0.0.1:50052"
    evaluator_address: str = "127.0.0.1:50053"
    trainer_address: str = "127.0.0.1:50054"
    patience_seconds: float = Field(default=600.0, ge=0, le=86_400)
    max_running_loops: int = Field(default=4, ge=1, le=100)
