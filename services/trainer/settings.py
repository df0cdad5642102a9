"""The settings of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings
from services.trainer.backends.kubernetes_objects import TrainingPods


class TrainerSettings(ServiceSettings):
    """Environment variables with the prefix `TRAINER_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="TRAINER_")

    registry_address: str = Field(default="127.0.0.1:50051", min_length=1)
    max_running: int = Field(default=1, ge=1, le=64, description="Jobs that train at once.")
    max_attempts: int = Field(default=3, ge=1, le=100, description="Attempts that may fail before a job does.")
    num_threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of an attempt; 0: all.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="Of the frozen base weights.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="What trains; auto: GPUs if there are.")
    ray_address: str = Field(
        default="", description="A Ray cluster that trains, host:port or ray://host:port; empty: this machine."
    )
    ray_token_file: Path | None = Field(default=None, description="Has the token of the Ray cluster.")
    kubernetes: TrainingPods | None = Field(
        default=None, description="The cluster whose pods train, as a JSON object; none: this machine or ray_address."
    )
    kubernetes_config: Path | None = Field(default=None, description="A kubeconfig; else the pod's service account.")
    report_address: str = Field(
        default="", description="Where training processes reach this service; empty: its own port on this machine."
    )
    report_name: str = Field(
        default="", description="What this service's certificate is for, as training processes ask; empty: its address."
    )
    warm_seconds: float = Field(
        default=600.0,
        ge=0,
        le=86400,
        description="Training processes wait so long for the next job, which then starts at once; 0: they end.",
    )
    attempt_memory_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory of an attempt; 0: its share of four fifths of the container's or machine's.",
    )
    checkpoint_days: float = Field(
        default=7.0, ge=0, description="After so long an ended job keeps its last and its best checkpoint alone."
    )
    attempt_days: float = Field(
        default=30.0, ge=0, description="The logs and plans of an ended job's attempts are kept for so long."
    )
    stall_seconds: float = Field(default=900.0, gt=0, le=86400, description="An attempt that stands still is ended.")

    @field_validator("report_address")
    @classmethod
    def _bracketed(cls, address: str) -> str:
        """Return the address with brackets around an IPv6 host, which a pod is told without."""
        host, _, port = address.rpartition(":")
        return f"[{host}]:{port}" if ":" in host and "[" not in host and "/" not in host else address
