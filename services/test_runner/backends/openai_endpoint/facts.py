"""What an endpoint says of itself: its kind, its models, its context."""

import hashlib
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.test_runner.backends.openai_endpoint.failures import unknown_model, wrong_key
from services.test_runner.backends.openai_endpoint.json_values import count_in, list_in, mapping_in
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NoServer, NotReached, Reply
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.ports.generation import BackendFaultError

_MAX_FACT = 200
_MOST_ADAPTERS = 64
_KINDS = {"llamacpp": "llama.cpp", "vllm": "vLLM", "library": "Ollama"}


@dataclass(frozen=True)
class ServedAdapter:
    """A LoRA adapter that a llama.cpp server has loaded, and how much of it is added."""

    adapter_id: int
    file: str
    scale: float


@dataclass(frozen=True)
class Facts:
    """What is known of an endpoint; `num_context_tokens` is 0 and `kind` empty when it does not say.

    Attributes:
        shown: What a run records.
        adapters: Those that a request has to name.
        drops_tools: The server's chat template leaves the functions out that go beside the messages.
    """

    kind: str = ""
    num_context_tokens: int = 0
    chat_template_digest: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)
    adapters: tuple[ServedAdapter, ...] = ()
    drops_tools: bool = False


async def facts_of(requests: EndpointRequests) -> Facts:
    """Return what an endpoint says of itself; what does not come in time, or is none, is left out.

    Raises:
        BackendFaultError: It cannot be reached.
        PermissionDenied: Its name leads to an address that is never asked.
        FailedPrecondition: It does not take the key, or does not have the model.
    """
    endpoint = requests.endpoint
    entry = _entry(await _models(requests), endpoint)
    kind = _KINDS.get(str(entry.get("owned_by", "")), "")
    facts = {"model": endpoint.model, "server": kind, "parameters": mapping_in(entry.get("meta")).get("n_params")}
    match kind:
        case "llama.cpp":
            adapters = _adapters(endpoint, await _entries_of(requests.get("/lora-adapters")))
            return _of_llama_cpp(endpoint, await _body_of(requests.get("/props")), adapters, facts)
        case "vLLM":
            version = (await _body_of(requests.get("/version"))).get("version")
            return _facts(endpoint, kind, entry.get("max_model_len"), {**facts, "version": version})
        case "Ollama":
            context = 0 if endpoint.num_ctx else await _ollama_context(requests)
            return _facts(endpoint, kind, context, {**facts, **await _of_ollama(requests)})
    return _facts(endpoint, kind, entry.get("max_model_len"), facts)


async def _models(requests: EndpointRequests) -> Mapping[str, Any]:
    try:
        reply = await requests.models()
    except NoServer as error:
        raise BackendFaultError(str(error)) from error
    except NotReached:
        return {}
    if reply.status in (401, 403):
        raise wrong_key(requests.endpoint)
    return reply.body if reply.succeeded else {}


async def _body_of(request: Awaitable[Reply]) -> Mapping[str, Any]:
    try:
        reply = await request
    except NotReached:
        return {}
    return reply.body if reply.succeeded else {}


async def _entries_of(request: Awaitable[Reply]) -> Sequence[Any]:
    try:
        reply = await request
    except NotReached:
        return ()
    return reply.entries if reply.succeeded else ()


def _of_llama_cpp(
    endpoint: Endpoint, properties: Mapping[str, Any], adapters: tuple[ServedAdapter, ...], shown: Mapping[str, object]
) -> Facts:
    template, settings = properties.get("chat_template"), mapping_in(properties.get("default_generation_settings"))
    digest = f"sha256:{hashlib.sha256(template.encode()).hexdigest()}" if isinstance(template, str) else ""
    more = {
        "version": properties.get("build_info"),
        "file": str(properties.get("model_path", "")).rpartition("/")[2],
        "slots": properties.get("total_slots"),
        "adapters": ", ".join(f"{adapter.file} × {adapter.scale:g}" for adapter in adapters),
    }
    facts = _facts(endpoint, "llama.cpp", settings.get("n_ctx"), {**shown, **more}, digest)
    drops_tools = mapping_in(properties.get("chat_template_caps")).get("supports_tools") is False
    return replace(facts, adapters=adapters, drops_tools=drops_tools)


def _adapters(endpoint: Endpoint, entries: Sequence[Any]) -> tuple[ServedAdapter, ...]:
    """Return the adapters with the scales of the run: the server's, or those that the endpoint's extra body names."""
    adapter_settings = endpoint.extra_fields().get("lora")
    scales = {setting.get("id"): setting.get("scale") for setting in map(mapping_in, list_in(adapter_settings))}
    adapters = []
    for entry in map(mapping_in, entries[:_MOST_ADAPTERS]):
        number = entry.get("id")
        # The server leaves out those that a request does not name when it names any.
        scale = entry.get("scale") if adapter_settings is None else scales.get(number, 0.0)
        if isinstance(number, int) and isinstance(scale, int | float):
            adapters.append(ServedAdapter(number, str(entry.get("path", number)).rpartition("/")[2], float(scale)))
    return tuple(adapters)


async def _of_ollama(requests: EndpointRequests) -> Mapping[str, object]:
    tags = (await _body_of(requests.get("/api/tags"))).get("models")
    version, model = (await _body_of(requests.get("/api/version"))).get("version"), requests.endpoint.model
    for entry in map(mapping_in, tags if isinstance(tags, list) else ()):
        if entry.get("name") in (model, f"{model}:latest"):
            quantization = mapping_in(entry.get("details")).get("quantization_level")
            return {"version": version, "digest": entry.get("digest"), "quantization": quantization}
    return {"version": version}


async def _ollama_context(requests: EndpointRequests) -> int:
    details = await _body_of(requests.post("/api/show", {"model": requests.endpoint.model}))
    named = re.search(r"^num_ctx\s+(\d{1,9})", str(details.get("parameters", "")), re.MULTILINE)
    return int(named.group(1)) if named else 0


def _facts(endpoint: Endpoint, kind: str, num_context: object, facts: Mapping[str, object], digest: str = "") -> Facts:
    served_context, asked_context = count_in(num_context), endpoint.num_ctx
    context = (
        min(served_context, asked_context) if served_context and asked_context else served_context or asked_context
    )
    values = {**facts, "context": context}
    plain = {name: str(value)[:_MAX_FACT] for name, value in values.items() if value}
    return Facts(kind, context, digest, plain)


def _entry(listed: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
    models = listed.get("data")
    entries = [mapping_in(entry) for entry in models] if isinstance(models, list) else []
    names = tuple(str(entry["id"]) for entry in entries if isinstance(entry.get("id"), str))
    for entry in entries:
        if entry.get("id") in (endpoint.model, f"{endpoint.model}:latest"):
            return entry
    if names:
        raise unknown_model(endpoint, names)
    return {}
