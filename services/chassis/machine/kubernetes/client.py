"""Calls of a cluster's API, whose refusals become this product's errors in the cluster's own words."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from services.chassis.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable

Manifest = dict[str, Any]
GONE: Final = 410
_CALL_SECONDS = 10.0
_MAX_WORDS = 400
_TOO_MANY_REQUESTS = 429
_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
)


class GoneError(Exception):
    """The cluster has forgotten where a watch shall go on: list again."""


class KubernetesClient:
    """Makes calls, each in a thread; the library is loaded when it is first used.

    Its import takes 0.6 s of computing and 72 MB, which an installation without a cluster never pays.

    Args:
        namespace: Everything is in this one.
        config: A kubeconfig; None for the service account of this pod.
    """

    def __init__(self, namespace: str, config: Path | None = None) -> None:
        self.namespace = namespace
        self.num_calls = 0
        self._config = config

    async def call(self, api: str, method: str, *arguments: Any, absent: int = 0, **more: Any) -> Manifest | None:
        """Return the answer of a method of an API class as a document; None where the status is `absent`.

        Raises:
            FailedPrecondition: The cluster refuses; the error has its words.
            ResourceExhausted: A quota is used up.
            Unavailable: It does not answer.
        """
        return await asyncio.to_thread(self._document, api, method, arguments, absent, more)

    async def has_resource(self, group: str, version: str, plural: str) -> bool:
        """Tell whether the cluster serves a resource."""
        listing = await self.call("CustomObjectsApi", "get_api_resources", group, version, absent=404)
        return any(resource["name"] == plural for resource in (listing or {}).get("resources", ()))

    def open_stream(self, api: str, method: str, *arguments: Any, silence_seconds: float, **more: Any) -> Any:
        """Return a response whose parts the caller reads in a thread and then closes; a silent one breaks.

        Raises:
            GoneError: The resource version is too old.
        """
        timeout = (_CALL_SECONDS, silence_seconds)
        return self._answer(api, method, arguments, {"_preload_content": False, "_request_timeout": timeout, **more})

    def _document(
        self, api: str, method: str, arguments: tuple[Any, ...], absent: int, more: dict[str, Any]
    ) -> Manifest | None:
        from kubernetes.client.exceptions import ApiException

        try:
            answer = self._answer(api, method, arguments, {"_request_timeout": _CALL_SECONDS, **more})
        except ApiException as error:
            if error.status == absent:
                return None
            raise refusal(error.status, error.body or error.reason) from None
        document = self._client.sanitize_for_serialization(answer)
        return document if isinstance(document, dict) else {"text": document}

    def _answer(self, api: str, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        from kubernetes import client
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        self.num_calls += 1
        try:
            call: Callable[..., Any] = getattr(getattr(client, api)(self._client), method)
            return call(*arguments, **options)
        except ApiException as error:
            if error.status == GONE:
                raise GoneError from None
            raise
        except ConfigException as error:
            raise FailedPrecondition(
                f"The cluster cannot be reached: {error}.", "Let the chart give the pod an account of the cluster."
            ) from None
        except HTTPError as error:
            raise Unavailable(f"The cluster's API does not answer: {type(error).__name__}.", "Try again.") from None

    @cached_property
    def _client(self) -> Any:
        from kubernetes import client, config

        configuration = client.Configuration()
        if self._config is not None:
            config.load_kube_config(str(self._config), client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
        return client.ApiClient(configuration)


def refusal(status: int, body: str) -> ServiceError:
    """Return the error for an answer of the cluster that is none of success."""
    try:
        words = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        words = str(body)
    if status >= 500 or status == _TOO_MANY_REQUESTS:
        return Unavailable(f"The cluster's API answers {status}: {words[:_MAX_WORDS]}", "Try again.")
    if "exceeded quota" in words:
        return ResourceExhausted(
            f"The cluster refuses: {words[:_MAX_WORDS]}", "Wait, or let its operator raise the quota."
        )
    if missing := _FORBIDDEN.search(words):
        rule = (
            f'{{apiGroups: ["{missing["group"]}"], resources: ["{missing["resource"]}"], verbs: ["{missing["verb"]}"]}}'
        )
        return FailedPrecondition(
            f"The cluster refuses: {words[:_MAX_WORDS]}", f"Add the rule {rule} to the Role of {missing['user']}."
        )
    return FailedPrecondition(f"The cluster refuses: {words[:_MAX_WORDS]}", "Let its operator allow it.")
