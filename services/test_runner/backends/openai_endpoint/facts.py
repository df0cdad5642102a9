"""What an endpoint says of itself: its kind, its models, its context."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from services.test_runner.backends.openai_endpoint.transport import ForbiddenAddressError
from services.test_runner.backends.openai_endpoint.trouble import forbidden, unknown_model, wrong_key
from services.test_runner.domain import Endpoint
from services.test_runner.ports import BackendFaultError

_SECONDS = 10.0
_MAX_FACT = 200
_KINDS = {"llamacpp": "llama.cpp", "vllm": "vLLM", "library": "Ollama"}


@dataclass(frozen=True)
class Facts:
    """What is known of an endpoint; `num_context_tokens` is 0 and `kind` empty when it does not say.

    `shown` is what a run records.
    """

    kind: str = ""
    num_context_tokens: int = 0
    chat_template_digest: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)


class Questions:
    """Asks an endpoint for JSON, with its key; what does not come in time, or is none, is None."""

    def __init__(self, client: httpx2.AsyncClient, endpoint: Endpoint, key: str) -> None:
        self._client, self.endpoint = client, endpoint
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def facts(self) -> Facts:
        """Return what the endpoint says of itself.

        Raises:
            BackendFaultError: It cannot be reached.
            PermissionDenied: Its name leads to an address that is never asked.
            FailedPrecondition: It does not take the key, or does not have the model.
        """
        listed = await self._models()
        entry = _entry(listed, self.endpoint)
        kind = _KINDS.get(str(entry.get("owned_by", "")), "")
        num_parameters = _mapping(entry.get("meta")).get("n_params")
        shown = {"model": self.endpoint.model, "server": kind, "parameters": num_parameters}
        match kind:
            case "llama.cpp":
                return self._of_llama_cpp(await self._ask("GET", "/props"), shown)
            case "vLLM":
                version = _mapping(await self._ask("GET", "/version")).get("version")
                return self._facts(kind, entry.get("max_model_len"), {**shown, "version": version})
            case "Ollama":
                return self._facts(kind, 0, {**shown, **await self._of_ollama()})
        return self._facts(kind, entry.get("max_model_len"), shown)

    async def num_tokens(self, kind: str, messages: list[dict[str, Any]], tools: list[Any]) -> int:
        """Return how many tokens a conversation has by the server's own template, or 0 when it does not tell."""
        with_tools = {"messages": messages, **({"tools": tools} if tools else {})}
        if kind == "vLLM":
            counted = await self._ask("POST", "/tokenize", {"model": self.endpoint.model, **with_tools})
            return _count(_mapping(counted).get("count"))
        if kind == "llama.cpp":
            rendered = _mapping(await self._ask("POST", "/apply-template", with_tools)).get("prompt")
            body = {"content": rendered, "add_special": True, "parse_special": True}
            found = _mapping(await self._ask("POST", "/tokenize", body)).get("tokens") if rendered else None
            return len(found) if isinstance(found, list) else 0
        return 0

    async def _models(self) -> object:
        try:
            response = await self._send("GET", f"{self.endpoint.base_url.rstrip('/')}/models", None)
        except ForbiddenAddressError as error:
            raise forbidden(self.endpoint) from error
        except httpx2.ConnectError as error:
            raise BackendFaultError(f"No server answers at {self.endpoint.base_url}.") from error
        except (httpx2.HTTPError, TimeoutError):
            return None
        if response.status_code in (401, 403):
            raise wrong_key(self.endpoint)
        return _parsed(response)

    async def _ask(self, method: str, path: str, body: object = None) -> object:
        try:
            return _parsed(await self._send(method, f"{self.endpoint.root_url}{path}", body))
        except (httpx2.HTTPError, TimeoutError):
            return None

    async def _send(self, method: str, url: str, body: object) -> httpx2.Response:
        async with asyncio.timeout(_SECONDS):
            return await self._client.request(method, url, json=body, headers=self._headers)

    def _of_llama_cpp(self, props: object, shown: Mapping[str, object]) -> Facts:
        told = _mapping(props)
        template, settings = told.get("chat_template"), _mapping(told.get("default_generation_settings"))
        digest = f"sha256:{hashlib.sha256(template.encode()).hexdigest()}" if isinstance(template, str) else ""
        more = {"version": told.get("build_info"), "file": str(told.get("model_path", "")).rpartition("/")[2]}
        return self._facts("llama.cpp", settings.get("n_ctx"), {**shown, **more}, digest)

    async def _of_ollama(self) -> Mapping[str, object]:
        tags = _mapping(await self._ask("GET", "/api/tags")).get("models")
        version = _mapping(await self._ask("GET", "/api/version")).get("version")
        for entry in map(_mapping, tags if isinstance(tags, list) else ()):
            if entry.get("name") in (self.endpoint.model, f"{self.endpoint.model}:latest"):
                quantization = _mapping(entry.get("details")).get("quantization_level")
                return {"version": version, "digest": entry.get("digest"), "quantization": quantization}
        return {"version": version}

    def _facts(self, kind: str, num_context: object, shown: Mapping[str, object], digest: str = "") -> Facts:
        known, asked = _count(num_context), self.endpoint.num_ctx
        context = min(known, asked) if known and asked else known or asked
        told = {**shown, "context": context}
        plain = {name: str(value)[:_MAX_FACT] for name, value in told.items() if value}
        return Facts(kind, context, digest, plain)


def _entry(listed: object, endpoint: Endpoint) -> Mapping[str, Any]:
    models = _mapping(listed).get("data")
    entries = [_mapping(entry) for entry in models] if isinstance(models, list) else []
    names = tuple(str(entry["id"]) for entry in entries if isinstance(entry.get("id"), str))
    for entry in entries:
        if entry.get("id") in (endpoint.model, f"{endpoint.model}:latest"):
            return entry
    if names:
        raise unknown_model(endpoint, names)
    return {}


def _parsed(response: httpx2.Response) -> object:
    if response.status_code != 200:
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0
