"""The settings that every service has, read once from the environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that asks nothing beyond this machine; a bad proxy cannot end it."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}


def forget_proxies() -> None:
    """Make this process one that asks nothing beyond this machine and its services."""
    for name in os.environ.keys() - without_proxies(os.environ).keys():
        del os.environ[name]


def favour_event_loop() -> None:
    """Let threads that compute hand over ten times as often as by default, so that the event loop is never away long.

    With four of them busy it waited 90 ms for each of its turns, and waits 6 ms so; they lose nothing measurable.
    """
    sys.setswitchinterval(0.0005)


def except_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this machine among the hosts for which no proxy is asked; others keep theirs."""
    if without_proxies(environment) == environment:
        return dict(environment)
    former = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    # For all hosts it stands alone.
    is_all = "*" in map(str.strip, former.split(","))
    names = "*" if is_all else ",".join(host for host in (former, *_LOOPBACK) if host)
    return {**environment, "no_proxy": names, "NO_PROXY": names}


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine only: `localhost`, 127.0.0.0/8 or ::1."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


_ONLY_OWNER_LEASE_SECONDS = 300.0


_MAILTO = "mailto:"
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class Webhook(BaseModel):
    """An address that is told of jobs.

    Attributes:
        url: Takes the notices by POST, or is `mailto:` and one address.
        secret: Name of the secret by which they are signed; empty for mail, and for one that follows from the token.
        events: Beginnings of the events that are told, such as `job.failed` or `goal`; none for all.
        kinds: Of the jobs that are told of; none for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(repr=False, max_length=2000)
    secret: str = ""
    events: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The host that is told, of mail its domain."""
        return self.mail_address.rpartition("@")[2] or urlsplit(self.url).hostname or ""

    @property
    def mail_address(self) -> str:
        """The address of mail; empty where the notices are posted."""
        return self.url.removeprefix(_MAILTO) if self.url.startswith(_MAILTO) else ""

    @property
    def key(self) -> str:
        """What names it where the address, which may hold a token, does not belong."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def wants(self, event: str, kind: str) -> bool:
        """Whether it is told of an event of a job of this kind."""
        return (not self.events or event.startswith(self.events)) and (not self.kinds or kind in self.kinds)

    @field_validator("url")
    @classmethod
    def _be_an_address(cls, url: str) -> str:
        if url.startswith(_MAILTO):
            if not _MAIL_ADDRESS.fullmatch(url.removeprefix(_MAILTO)):
                raise ValueError("behind mailto: stands one address, such as ann@example.org")
            return url
        parts = urlsplit(url)
        # Read for its sake: one that is no number is refused.
        _ = parts.port
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("a webhook's url begins with https:// or mailto:, or is on this machine")
        return url


class ServiceSettings(BaseSettings):
    """Settings of one service; a service subclasses it with its own `env_prefix`.

    The prefix names the service: `TEST_RUNNER_` is `test_runner`. Port 0 means any free port.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")
    shown: ClassVar[tuple[str, ...]] = ()
    """What the page Settings shows of it: which hosts are asked, and where secrets are."""

    data_dir: Path = Field(default=Path("data"), description="Has a folder for each service.")
    token_file: Path | None = Field(
        default=None, description="Has the secret of calls between services; none: not asked."
    )
    tls_dir: Path | None = Field(
        default=None,
        description="Has tls.crt, tls.key and ca.crt; then both sides of each call show certificates.",
    )
    host: str = "127.0.0.1"
    grpc_port: int = Field(default=0, ge=0, le=65535)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    database_url: str = Field(default="", repr=False, description="Empty: SQLite in the data folder.")
    artifacts_url: str = Field(default="", description="Empty: a folder in the data folder.")
    artifact_sources: tuple[str, ...] = Field(
        default=(), description="URL prefixes from which artifacts are adopted, besides the data folder."
    )
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    reflection: bool = Field(default=False, description="Tell what RPCs there are; for development.")
    max_calls: int = Field(default=256, ge=1, le=100_000, description="Calls that are answered at once.")
    max_watches: int = Field(default=1000, ge=1, le=100_000, description="Streams of events that are open at once.")
    call_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="A call of another service has so long; a job asks again, with more time.",
    )
    drain_grace_seconds: float = Field(default=10.0, ge=0, le=3600)
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="If unset, jobs on SQLite have 300, for no other process can take them over.",
    )
    max_deaths: int = Field(
        default=3, ge=2, le=1000, description="A job that ends its process so often in a row without progress fails."
    )
    gc_hours: float = Field(
        default=24.0, ge=0, le=8760, description="How often what nobody needs is removed; 0: only when asked."
    )
    event_days: float = Field(
        default=30.0, ge=0, description="Events of ended jobs are kept for so long, those of their states for ever."
    )
    cache_days: float = Field(
        default=7.0, ge=0, description="Artifacts brought from a remote store are kept for so long after their use."
    )
    handover_hours: float = Field(
        default=24.0, ge=1, description="Artifacts that another service has taken over are kept for so long."
    )
    secrets_dir: Path | None = Field(default=None, description="Folder with a file per secret.")
    webhooks: tuple[Webhook, ...] = Field(default=(), description="Who is told of jobs, as a JSON list.")
    webhook_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that may be told, private ones too; none: the internet, and this machine in settings.",
    )
    smtp_url: str = Field(
        default="",
        description="Server that takes mail: smtps://host:465, or smtp://host:587 for STARTTLS; a user before the @.",
    )
    smtp_secret: str = Field(default="", description="Name of the secret with that user's password.")
    mail_from: str = Field(default="", description="Address from which mail comes.")
    stuck_minutes: float = Field(
        default=60.0, ge=1, le=525_600, description="A job that tells nothing for so long stands still."
    )
    exit_with_parent: bool = False

    @field_validator("host")
    @classmethod
    def _be_closed(cls, host: str, settings: ValidationInfo) -> str:
        if not is_loopback(host) and not settings.data.get("token_file"):
            variable = f"{cls.model_config.get('env_prefix', '')}TOKEN_FILE"
            raise ValueError(f"beyond this machine a service asks its callers for a token; name its file in {variable}")
        return host

    @field_validator("smtp_url")
    @classmethod
    def _be_a_mail_server(cls, url: str) -> str:
        parts = urlsplit(url)
        _ = parts.port
        if url and (parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.password is not None):
            raise ValueError("it is smtps://host or smtp://host; a password is a secret, whose name SMTP_SECRET has")
        return url

    @field_validator("mail_from")
    @classmethod
    def _be_a_mail_address(cls, address: str) -> str:
        if address and not _MAIL_ADDRESS.fullmatch(address):
            raise ValueError("it is one address without a name, such as drillyard@example.org")
        return address

    @field_validator("webhooks")
    @classmethod
    def _be_different(cls, webhooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        if len({webhook.url for webhook in webhooks}) < len(webhooks):
            raise ValueError("two webhooks have the same url, so that one would be told nothing; make them one")
        return webhooks

    @property
    def env_prefix(self) -> str:
        """The prefix of this service's environment variables, such as `REGISTRY_`."""
        return str(self.model_config.get("env_prefix", ""))

    def service_dir(self, service: str) -> Path:
        """Return the absolute folder that `service` alone writes in."""
        return (self.data_dir / service).resolve()

    def resolved_database_url(self, service: str) -> str:
        """Return the database URL, SQLite in the service's folder when none is set."""
        return self.database_url or f"sqlite+aiosqlite:///{quote(str(self.service_dir(service) / 'state.db'))}"

    def lease_seconds_of_jobs(self, *, is_only_owner: bool) -> float:
        """Return the lease of jobs, unless it is set a longer one where no other process can take them over.

        A disk that many programs write to can keep SQLite waiting for longer than other replicas should wait.
        """
        is_set = "lease_seconds" in self.model_fields_set
        return _ONLY_OWNER_LEASE_SECONDS if is_only_owner and not is_set else self.lease_seconds

    def resolved_artifacts_url(self, service: str) -> str:
        """Return the URL under which the service writes artifacts, a local folder when none is set."""
        return self.artifacts_url or (self.service_dir(service) / "artifacts").as_uri()

    def resolved_artifact_sources(self) -> tuple[str, ...]:
        """Return the URL prefixes from which artifacts of other services are adopted."""
        return (self.data_dir.resolve().as_uri() + "/", *self.artifact_sources)


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Read the environment, or end the process with status 2 and one sentence per wrong variable."""
    try:
        return cls()
    except ValidationError as error:
        prefix = str(cls.model_config.get("env_prefix", ""))
        for entry in error.errors(include_input=False, include_url=False):
            name = prefix + "_".join(str(part) for part in entry["loc"]).upper()
            print(f"The environment variable {name} is wrong: {entry['msg']}.", file=sys.stderr)
        sys.exit(2)
