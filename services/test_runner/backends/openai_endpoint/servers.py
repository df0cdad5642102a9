"""The kinds of servers, each with the routes by which it shows what it makes of messages."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from services.lm.doctor.diagnosis import Conversation
from services.test_runner.backends.openai_endpoint.facts import Facts
from services.test_runner.backends.openai_endpoint.json_values import mapping_in
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached, Reply


class Refused(Exception):
    """The server refuses the messages."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}: {reply.text}")
        self.status = reply.status


@dataclass(frozen=True)
class Served:
    """What a server makes of one conversation's prompt; None where it does not tell."""

    num_tokens: int | None = None
    token_ids: tuple[int, ...] | None = None
    text: str | None = None


@dataclass(frozen=True)
class Server(ABC):
    """One kind of server; `num_context_tokens` is what it holds for one conversation, 0 when unknown."""

    requests: EndpointRequests
    num_context_tokens: int = 0

    name = "server"

    @abstractmethod
    async def rendered(self, conversation: Conversation) -> Served:
        """Return what the server makes of the conversation's prompt.

        Raises:
            Refused: It does not take the messages.
            NotReached: It does not answer.
        """

    async def text_of(self, served: Served) -> str:
        """Return the text of a rendered prompt; empty when the server does not tell it."""
        return served.text or ""

    async def num_prompt_tokens(self, conversation: Conversation) -> int:
        """Return how many tokens the conversation's prompt has; 0 when the server does not tell without an answer."""
        try:
            return (await self.rendered(conversation)).num_tokens or 0
        except (Refused, NotReached):
            return 0

    def _body(self, conversation: Conversation) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.requests.endpoint.model,
            "messages": [dict(message) for message in conversation.prompt],
        }
        return body | ({"tools": [dict(tool) for tool in conversation.tools]} if conversation.tools else {})


class LlamaCpp(Server):
    """llama.cpp's server: shows the text, and encodes it as it does for an answer."""

    name = "llama.cpp"

    async def rendered(self, conversation: Conversation) -> Served:
        """Return text and token ids."""
        extra = dict(self.requests.endpoint.extra_fields())
        shown = await self.requests.post("/apply-template", extra | self._body(conversation))
        text = shown.body.get("prompt")
        if not shown.succeeded or not isinstance(text, str):
            raise Refused(shown)
        body = {"content": text, "add_special": True, "parse_special": True}
        ids = _ids((await self.requests.post("/tokenize", body)).body.get("tokens"))
        return Served(None if ids is None else len(ids), ids, text)


class Vllm(Server):
    """vLLM: encodes messages on request."""

    name = "vLLM"

    async def rendered(self, conversation: Conversation) -> Served:
        """Return token ids."""
        body = self._body(conversation) | {"add_generation_prompt": True}
        reply = await self.requests.post("/tokenize", body)
        ids = _ids(reply.body.get("tokens"))
        if not reply.succeeded or ids is None:
            raise Refused(reply)
        return Served(len(ids), ids)

    async def text_of(self, served: Served) -> str:
        """Return what the tokens stand for."""
        body = {"model": self.requests.endpoint.model, "tokens": list(served.token_ids or ())}
        text = (await self.requests.post("/detokenize", body)).body.get("prompt")
        return text if isinstance(text, str) else ""


class AnyServer(Server):
    """A server that tells no more than the tokens it has counted, in the usage of a one-token answer."""

    name = "OpenAI-compatible"

    async def rendered(self, conversation: Conversation) -> Served:
        """Return the number of tokens."""
        body = {"temperature": 0, **self.requests.endpoint.extra_fields(), **self._body(conversation), "max_tokens": 1}
        if self.requests.endpoint.num_ctx:
            body["options"] = {"num_ctx": self.requests.endpoint.num_ctx}
        reply = await self.requests.answer(body)
        if not reply.succeeded:
            raise Refused(reply)
        num_tokens = mapping_in(reply.body.get("usage")).get("prompt_tokens")
        return Served(num_tokens if isinstance(num_tokens, int) and not isinstance(num_tokens, bool) else None)

    async def num_prompt_tokens(self, conversation: Conversation) -> int:
        """Return 0: a count costs an answer."""
        return 0


class Ollama(AnyServer):
    """Ollama: names its context, and counts."""

    name = "Ollama"


def server_of(requests: EndpointRequests, facts: Facts) -> Server:
    """Return the server of the kind that the facts tell."""
    kinds: tuple[type[Server], ...] = (LlamaCpp, Vllm, Ollama)
    kind = next((kind for kind in kinds if kind.name == facts.kind), AnyServer)
    return kind(requests, facts.num_context_tokens)


def _ids(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(isinstance(entry, int) for entry in value):
        return None
    return tuple(value)
