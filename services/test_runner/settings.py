"""The settings of the test runner."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings


class TestRunnerSettings(ServiceSettings):
    """Environment variables with the prefix `TEST_RUNNER_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="TEST_RUNNER_")
    shown = ("endpoint_hosts", "endpoint_key_hosts", "secrets_dir", "deployment_namespace")

    registry_address: str = Field(default="127.0.0.1:50051", min_length=1)
    window_size: int = Field(default=65, ge=1, le=1000, description="Cases that are generated and stored together.")
    max_running: int = Field(default=1, ge=1, le=1000, description="Test runs that generate at once.")
    share_runs: Literal["none", "weights", "all"] = Field(
        default="weights",
        description="On PostgreSQL: runs that replicas share by windows; all: those at endpoints too, of which each "
        "replica then sends max_concurrency requests at once.",
    )
    max_workers: int = Field(default=1, ge=1, le=64, description="Models that are loaded at once.")
    max_batch: int = Field(default=0, ge=0, le=4096, description="Sequences decoded at once; 0: what is fastest.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where models compute; auto: GPU if any."
    )
    num_threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of a worker; 0: what is fastest.")
    idle_seconds: float = Field(default=60.0, ge=0, le=86400, description="A worker without work is ended after this.")
    load_seconds: float = Field(default=600.0, gt=0, le=86400, description="A model that loads longer is given up.")
    stall_seconds: float = Field(default=600.0, gt=0, le=86400, description="A worker silent for longer is ended.")
    worker_memory_bytes: int = Field(
        default=0, ge=0, description="Memory of a worker; 0: its share of four fifths of the container's or machine's."
    )
    llama_server: str = Field(
        default="", description="Command of llama.cpp's server, for GGUF; empty: LLAMA_SERVER's, or that of the PATH."
    )
    max_waiting: int = Field(default=256, ge=1, le=100_000, description="Generations that wait for a model.")
    max_waiting_of_caller: int = Field(default=32, ge=1, le=100_000, description="Those of one caller.")
    max_waiting_bytes: int = Field(default=256 << 20, ge=1 << 20, description="Their prompts together.")
    max_waiting_seconds: float = Field(default=300.0, gt=0, le=86400, description="A generation waits no longer.")
    endpoint_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts that endpoints may be at, private ones too; none: this machine and the internet."
    )
    endpoint_key_hosts: dict[str, tuple[str, ...]] = Field(
        default={}, description="Hosts that may see a key, by its secret; a key without shows itself to endpoint_hosts."
    )
    deployment_namespace: str = Field(
        default="", description="Namespace whose served versions may be asked, though at private addresses."
    )
    endpoint_tries: int = Field(default=5, ge=1, le=20, description="Tries of a prompt that an endpoint refuses.")

    @field_validator("share_runs", mode="before")
    @classmethod
    def _read_yes_or_no(cls, value: object) -> object:
        """Take what the setting was before there were runs of several kinds to share."""
        kinds = {"true": "weights", "1": "weights", "false": "none", "0": "none"}
        return kinds.get(str(value).lower(), value)
