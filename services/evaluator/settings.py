"""The settings of the evaluator."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings


class EvaluatorSettings(ServiceSettings):
    """Environment variables with the prefix `EVALUATOR_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="EVALUATOR_")

    registry_address: str = Field(default="127.0.0.1:50051", min_length=1)
    test_runner_address: str = Field(default="127.0.0.1:50052", min_length=1)
    max_running: int = Field(default=16, ge=1, le=1000, description="Evaluations that judge or follow at once.")
    grader_timeout_seconds: float = Field(default=120.0, gt=0, le=3600, description="Most time for one grade.")
