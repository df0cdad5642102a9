"""What is sent to an endpoint for one prompt."""

import json
import re
from typing import Any

from services.chassis.wire import to_document
from services.test_runner.backends.openai_endpoint.facts import Facts
from services.test_runner.domain.endpoint import Endpoint, ToolMode
from services.test_runner.domain.generation import Sampling
from services.test_runner.ports.generation import Prompt, Workload

# OpenAI's servers, and those like them, refuse other names.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
# Servers keep seeds in 32 bits, some with a sign.
_SEED_MASK = (1 << 31) - 1
# Their own defaults leave tokens out, so that "all" must be said.
_KINDS_THAT_CHOOSE = ("llama.cpp", "vLLM")


def request_of(workload: Workload, prompt: Prompt, facts: Facts) -> tuple[str, dict[str, Any]]:
    """Return path and body; `facts` are what is known of the server."""
    endpoint = workload.endpoint
    assert endpoint is not None
    body: dict[str, Any] = {
        "model": endpoint.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": workload.sampling.max_new_tokens,
        "seed": prompt.seed & _SEED_MASK,
        **_sampling(workload.sampling, facts.kind),
        **_adapters(facts),
    }
    stops = [*dict.fromkeys((*prompt.stop, *endpoint.stop))]
    if stops:
        body["stop"] = stops
    if endpoint.num_ctx:
        body["options"] = {"num_ctx": endpoint.num_ctx}
    path = _add_chat(body, workload, prompt) if prompt.messages else _add_text(body, workload, prompt)
    return path, {**body, **endpoint.extra_fields()}


def offered_tools(endpoint: Endpoint, prompt: Prompt) -> list[Any]:
    """Return the functions that go beside the messages."""
    return [] if endpoint.tool_mode is ToolMode.PROMPT else list(prompt.tools)


def most_prompt_tokens(prompt: Prompt, tools: list[Any]) -> int:
    """Return a number of tokens that the prompt cannot exceed: no token is shorter than a byte.

    A template adds some tokens to each message, and repeats some text for each function.
    """
    chats = [message.to_chat() for message in prompt.messages]
    text = len(json.dumps([chats, tools], ensure_ascii=False).encode("utf-8", "replace")) + len(prompt.text.encode())
    return text + 64 * len(chats) + 256 * (len(tools) + 1)


def _sampling(sampling: Sampling, kind: str) -> dict[str, Any]:
    if sampling.temperature == 0:
        return {"temperature": sampling.temperature}
    # What is not OpenAI's own is sent only where it counts.
    values = vars(sampling) if kind in _KINDS_THAT_CHOOSE else {"top_p": sampling.top_p, **to_document(sampling)}
    return {name: value for name, value in values.items() if name != "max_new_tokens"}


def _adapters(facts: Facts) -> dict[str, Any]:
    # The cache of llama.cpp's server does not tell prompts apart that were read with other scales.
    if not facts.adapters:
        return {}
    named = [{"id": adapter.adapter_id, "scale": adapter.scale} for adapter in facts.adapters]
    return {"lora": named, "cache_prompt": False}


def _add_chat(body: dict[str, Any], workload: Workload, prompt: Prompt) -> str:
    assert workload.endpoint is not None
    tools = offered_tools(workload.endpoint, prompt)
    body["messages"] = [_with_sent_names(message.to_chat()) for message in prompt.messages]
    if tools:
        body["tools"] = tools
    if workload.log_probs:
        body["logprobs"] = True
        if workload.num_top_log_probs:
            body["top_logprobs"] = workload.num_top_log_probs
    return "/chat/completions"


def _with_sent_names(chat: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose calls have names that every server takes, whatever the model wrote."""
    for call in chat.get("tool_calls", ()):
        call["function"]["name"] = _NOT_IN_NAMES.sub("_", call["function"]["name"])
    return chat


def _add_text(body: dict[str, Any], workload: Workload, prompt: Prompt) -> str:
    body["prompt"] = prompt.text or list(prompt.token_ids)
    if workload.log_probs:
        body["logprobs"] = workload.num_top_log_probs
    return "/completions"
