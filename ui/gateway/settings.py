"""The settings of the gateway, read once from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.chassis.settings import is_loopback
from ui.gateway.access.caller import ROLES
from ui.gateway.middleware.outside import OutsideAddress


class GatewaySettings(BaseSettings):
    """Settings of the gateway; the environment variables begin with `GATEWAY_`. Port 0 means any free port."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    data_dir: Path = Field(default=Path("data"), description="Has a folder for each service.")
    token_file: Path | None = None
    tls_dir: Path | None = Field(default=None, description="Has tls.crt, tls.key and ca.crt, for calls of services.")
    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    artifacts_url: str = Field(default="", description="Where uploads are kept; empty: a folder in the data folder.")
    outside_url: str = Field(default="", description="Where a proxy shows it: origin and path.")
    authentication: Literal["off", "on"] = Field(
        default="off", description="Off: only this machine's own programs and pages are answered, and all of them."
    )
    admin_key_file: Path | None = Field(default=None, description="Has the first key, by which others are made.")
    database_url: str = Field(default="", repr=False, description="Of the accounts; empty: SQLite in the data folder.")
    oidc_issuer: str = Field(default="", description="The OpenID Connect provider's name of itself; empty: none.")
    oidc_client_id: str = ""
    oidc_client_secret_file: Path | None = Field(default=None, description="None: a client without a secret.")
    oidc_scope: str = "openid profile email"
    oidc_groups_claim: str = "groups"
    oidc_name_claim: str = Field(default="sub", description="What people are called by; it must be theirs for ever.")
    oidc_roles: dict[str, str] = Field(default={}, description="Role of each of the provider's groups.")
    oidc_workspaces: dict[str, str] = Field(
        default={}, description="Workspace of each of the provider's groups; who is in none of them is in `default`."
    )
    calls_per_minute: int = Field(default=6000, ge=0, description="How often a caller may ask; 0: without a limit.")
    audit_days: float = Field(default=365.0, ge=1, le=3650, description="The audit log goes back so far.")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    registry_address: str = "127.0.0.1:7001"
    test_runner_address: str = "127.0.0.1:7002"
    evaluator_address: str = "127.0.0.1:7003"
    trainer_address: str = "127.0.0.1:7004"
    feedback_address: str = "127.0.0.1:7005"
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_json_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="A body that is JSON, not a file.")
    max_event_streams: int = Field(default=100, ge=1)
    max_requests: int = Field(default=500, ge=1, description="Requests that are answered at once.")
    max_bodies_bytes: int = Field(default=256 * 1024 * 1024, ge=1024, description="All request bodies together.")
    max_body_seconds: float = Field(
        default=30.0, gt=0, description="A body that comes too slowly is given up after this."
    )
    gc_hours: float = Field(
        default=24.0, ge=0, le=8760, description="How often what nobody needs is removed; 0: only when asked."
    )
    upload_hours: float = Field(
        default=24.0, ge=1, description="Uploads are kept for so long; the registry takes its own copy at once."
    )
    shadow_days: float = Field(
        default=7.0, ge=0, le=3650, description="Answers of shadows are kept for so long, with what was asked; 0: not."
    )
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    exit_with_parent: bool = False

    @property
    def resolved_database_url(self) -> str:
        """The URL of the accounts' database."""
        return self.database_url or f"sqlite+aiosqlite:///{quote(str(self.data_dir.resolve() / 'gateway/accounts.db'))}"

    @property
    def outside(self) -> OutsideAddress | None:
        """The address of `outside_url`, if that is set."""
        return OutsideAddress.parse(self.outside_url) if self.outside_url else None

    @field_validator("outside_url")
    @classmethod
    def _be_an_address(cls, url: str) -> str:
        if url:
            OutsideAddress.parse(url)
        return url

    @field_validator("oidc_issuer")
    @classmethod
    def _be_encrypted(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("the provider's address begins with https://")
        return url

    @field_validator("oidc_roles")
    @classmethod
    def _be_roles(cls, roles: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(roles.values()) - set(ROLES)):
            raise ValueError(f"there is no role {unknown[0]!r}, only {', '.join(ROLES)}")
        return roles

    @model_validator(mode="after")
    def _stay_on_loopback(self) -> Self:
        if self.authentication == "on" and self.admin_key_file is None:
            raise ValueError("with authentication there must be a first key; name its file in GATEWAY_ADMIN_KEY_FILE")
        if self.authentication == "off" and not is_loopback(self.host):
            raise ValueError(
                "without authentication the gateway listens on loopback only; set GATEWAY_AUTHENTICATION to on, or the "
                "host to 127.0.0.1, and reach it by a port-forward or a proxy that authenticates"
            )
        return self
