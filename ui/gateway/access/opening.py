"""Opens the accounts of a gateway: its database, its first key and its provider of logins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.chassis.errors import FailedPrecondition
from services.chassis.waiting import keep_going
from ui.gateway.access.access import Access
from ui.gateway.access.audit import AuditLog
from ui.gateway.access.login.oidc import OidcProvider
from ui.gateway.access.secrets import derived_key
from ui.gateway.access.workspaces.workspaces import Workspaces
from ui.gateway.settings import GatewaySettings

_LEAST_ADMIN_KEY = 32


@asynccontextmanager
async def open_access(settings: GatewaySettings) -> AsyncIterator[Access | None]:
    """Open the accounts for as long as the block lasts; None where nobody is asked for a login.

    Raises:
        FailedPrecondition: The database or the file of the first key cannot be used.
    """
    if settings.authentication == "off" or settings.admin_key_file is None:
        yield None
        return
    admin_key = read_admin_key(settings.admin_key_file)
    # It doubles the gateway's memory, which is worth it for this alone.
    from ui.gateway.access.store.accounts import SqlAccounts
    from ui.gateway.access.store.audit import SqlAudit
    from ui.gateway.access.store.workspaces import SqlWorkspaces

    provider = _provider(settings, admin_key)
    if not settings.database_url:
        _keep_private(settings.data_dir.resolve() / "gateway/accounts.db")
    store = await SqlAccounts.open(settings.resolved_database_url)
    access = Access(store, admin_key, AuditLog(SqlAudit(store.database), settings.audit_days))
    access.provider, access.workspaces = provider, Workspaces(SqlWorkspaces(store.database))
    noting = asyncio.create_task(keep_going("write_audit_log", access.log.keep_writing))
    try:
        yield access
    finally:
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
        await store.close()


def _keep_private(file: Path) -> None:
    """Let nobody but this user read the hashes of passwords; what the database writes beside the file is as private."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.chmod(0o600)


def _provider(settings: GatewaySettings, admin_key: str) -> OidcProvider | None:
    if not settings.oidc_issuer:
        return None
    file = settings.oidc_client_secret_file
    return OidcProvider(settings, read_secret(file) if file else "", derived_key(admin_key, "logins"))


def read_admin_key(file: Path) -> str:
    """Return the initial admin's key.

    Raises:
        FailedPrecondition: The file cannot be read, or holds too short a text.
    """
    text = read_secret(file)
    if len(text) < _LEAST_ADMIN_KEY:
        raise FailedPrecondition(
            f"The initial admin's key in {file} has less than {_LEAST_ADMIN_KEY} characters.",
            "Make another with `openssl rand -hex 32`.",
        )
    return text


def read_secret(file: Path) -> str:
    """Return what is in the file of a secret.

    Raises:
        FailedPrecondition: It cannot be read.
    """
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise FailedPrecondition(
            f"The file of a secret, {file}, cannot be read: {error.strerror}.",
            "Write it there, for the gateway's user alone; `openssl rand -hex 32` makes a first key.",
        ) from None
