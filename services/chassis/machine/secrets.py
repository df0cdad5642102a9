"""Secrets by name: what callers name, the operator stores, and no database and no log ever holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.chassis.machine.parent import ServiceToken

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MAX_SECRET_BYTES = 8192
_DEPLOYMENT = "deployment-"


class Secrets:
    """Reads secrets from files of a folder, as a cluster mounts them, or from the environment; keeps none.

    Args:
        env_prefix: The service's, such as `REGISTRY_`.
        folder: Holds one file per secret; None for the environment alone.
        environment: Where `<PREFIX>SECRET_<NAME>` is looked up.
        token: Of the installation, from which the keys of its own deployments are derived.
    """

    def __init__(
        self,
        env_prefix: str,
        folder: Path | None,
        environment: Mapping[str, str] = os.environ,
        *,
        token: ServiceToken | None = None,
    ) -> None:
        self._token = token
        self._env_prefix = env_prefix
        self._folder = folder
        self._environment = environment

    def value_of(self, name: str, field: str) -> str:
        """Return what the secret `name` holds; `field` is where a caller gave the name.

        Raises:
            InvalidArgument: It is no name of a secret.
            FailedPrecondition: There is no such secret, or it is empty.
        """
        check_secret_name(name, field)
        if self._token is not None and is_of_deployment(name):
            return self._token.key_of(name)
        variable = self._env_prefix + "SECRET_" + spelling_of(name)
        secret = self._from_file(name) or self._environment.get(variable, "").strip()
        if not secret:
            raise FailedPrecondition(
                f"The secret {name} is not there.",
                f"Put it into a file of that name in {self._env_prefix}SECRETS_DIR, or set {variable}.",
            )
        return secret

    def _from_file(self, name: str) -> str:
        if self._folder is None or not (self._folder / name).is_file():
            return ""
        with (self._folder / name).open("rb") as file:
            return file.read(_MAX_SECRET_BYTES).decode("utf-8", "replace").strip()


def names_of_secrets(
    env_prefix: str, folder: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return the names of the secrets that an operator has stored, those of the environment as it spells them."""
    files = [path.name for path in folder.iterdir()] if folder is not None and folder.is_dir() else []
    begin = f"{env_prefix}SECRET_"
    spelled = [name.removeprefix(begin) for name in environment if name.startswith(begin)]
    # Of these variables one is no secret.
    return tuple(sorted({name for name in (*files, *spelled) if _NAME.fullmatch(name)} - {"HOSTS"}))


def deployment_secret(deployment_id: str) -> str:
    """Return the name of the key of a deployment."""
    return f"{_DEPLOYMENT}{deployment_id}"


def is_of_deployment(name: str) -> bool:
    """Whether a secret is the key of a deployment."""
    return name.startswith(_DEPLOYMENT)


def check_secret_name(name: str, field: str) -> None:
    """Raise InvalidArgument unless `name` may name a secret."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            "The name of the secret may have letters, digits, - and _ alone.",
            "Give the name of the secret, never the secret itself.",
            field=field,
        )


def spelling_of(name: str) -> str:
    """Return a secret's name as environment variables spell it, which tells neither case nor - from _."""
    return name.upper().replace("-", "_")
