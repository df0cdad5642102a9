"""A server that has a version loaded: where it answers, and what it has room for."""

import asyncio
import json
from dataclasses import dataclass

from services.chassis.machine.llama_server import LlamaServer
from services.test_runner.backends.llama_server.files import OllamaForm
from services.test_runner.domain import Artifact, Endpoint, ToolMode
from services.test_runner.ports import Prompt, Workload

ALIAS = "model"
# A token is rarely shorter than two bytes; a conversation grows by answers and replies.
_BYTES_OF_TOKEN = 2
_LEAST_CONTEXT = 4096
MOST_CONTEXT = 32768


@dataclass
class LoadedServer:
    """A server and what it has loaded."""

    base: Artifact
    adapter: Artifact | None
    server: LlamaServer
    ollama: OllamaForm
    expiry: asyncio.TimerHandle | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers."""
        return Endpoint(
            base_url=f"{self.server.root_url}/v1",
            model=ALIAS,
            api_key_secret="",
            tool_mode=ToolMode.UNSPECIFIED,
            num_ctx=0,
            stop=(),
            extra_body="",
            max_concurrency=self.server.options.num_slots,
        )

    def serves(self, workload: Workload) -> bool:
        """Whether it lives, has these weights loaded, and room for the prompts."""
        is_same = (self.base, self.adapter) == (workload.base, workload.adapter)
        num_tokens = min(num_context(workload), self.ollama.num_ctx or MOST_CONTEXT)
        return is_same and self.server.is_alive and self.server.options.num_context_tokens >= num_tokens


class OwnKeys:
    """The keys of servers that this process started, by their addresses."""

    trusted_hosts: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.of_servers: dict[str, str] = {}

    def check(self, endpoint: Endpoint) -> None:
        """Allow what was started here."""

    def key_of(self, endpoint: Endpoint) -> str:
        """Return the key of a server that runs."""
        return self.of_servers.get(endpoint.root_url, "")


def num_context(workload: Workload) -> int:
    """Return the tokens that each slot has to hold: a power of two, so that a server is rarely too small."""
    longest = max(_num_bytes(prompt) for prompt in workload.prompts) // _BYTES_OF_TOKEN
    needed = longest + 2 * workload.sampling.max_new_tokens
    context = _LEAST_CONTEXT
    while context < min(needed, MOST_CONTEXT):
        context *= 2
    return min(context, workload.num_context_tokens or context)


def _num_bytes(prompt: Prompt) -> int:
    chats = sum(len(message.content.encode("utf-8", "replace")) for message in prompt.messages)
    tools = len(json.dumps(prompt.tools, default=dict)) if prompt.tools else 0
    return chats + tools + len(prompt.text.encode("utf-8", "replace")) + _BYTES_OF_TOKEN * len(prompt.token_ids)
