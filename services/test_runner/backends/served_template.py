"""Whether an endpoint gives its model the tokens that the model's own template writes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx2

from services.chassis.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from services.chassis.machine.guarded_http import open_client
from services.lm.doctor.diagnosis import Conversation, Finding, Rendering, first_difference
from services.test_runner.backends.openai_endpoint.backend import AskingPolicy
from services.test_runner.backends.openai_endpoint.facts import Facts, facts_of
from services.test_runner.backends.openai_endpoint.requests import EndpointRequests, NotReached
from services.test_runner.backends.openai_endpoint.servers import Refused, Served, Server, server_of
from services.test_runner.domain.diagnosis import RenderedConversation, Room
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.ports.diagnosis import Comparison
from services.test_runner.ports.generation import BackendFaultError, Prompt, Rendered

_CHECKS = ("endpoint", "served_context", "served_rendering")
_MOST_CONVERSATIONS = 4
_AROUND = 60
_MOST_SECONDS = 90.0
_SAME_TEMPLATE = "Serve the model with its own chat template: pass the server the chat_template.jinja of its folder."


class ServedTemplateProbe:
    """Answers the ports `ServedTemplate` and `EndpointRenderer`.

    Args:
        policy: Knows the endpoints' keys and which hosts may be at any address and see them.
        transport: Carries the requests; by default the network, guarded.
    """

    def __init__(self, policy: AskingPolicy, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._policy = policy
        self._transport = transport

    async def render(self, endpoint: Endpoint, prompt: Prompt) -> Rendered:
        """Return what the endpoint gives its model to read; the text is empty where it does not tell it.

        Raises:
            InvalidArgument: It refuses the messages.
            FailedPrecondition: It does not tell token ids, or its key is not there.
            Unavailable: It does not answer.
        """
        key = self._policy.key_of(endpoint)
        messages = tuple(message.to_chat() for message in prompt.messages)
        try:
            async with open_client(self._policy.trusted_hosts, self._transport) as client:
                requests = EndpointRequests(client, endpoint, key)
                server = server_of(requests, await facts_of(requests))
                served = await server.rendered(Conversation("prompt", messages, tools=prompt.tools))
                text = await server.text_of(served)
        except Refused as error:
            raise InvalidArgument(f"The endpoint refuses the messages: {error}", "", field="messages") from error
        except (BackendFaultError, NotReached) as error:
            raise Unavailable(f"The endpoint does not answer: {error}", "Start the server.") from error
        if served.token_ids is None:
            raise FailedPrecondition(
                f"The {server.name} server does not tell the tokens of its prompts.",
                "Name a server of llama.cpp or vLLM.",
                field="endpoint",
            )
        return Rendered(text, served.token_ids, ())

    async def compare(self, endpoint: Endpoint, rendered: Sequence[RenderedConversation], room: Room) -> Comparison:
        """Return in what the endpoint differs from the model's own template and context."""
        key = self._policy.key_of(endpoint)
        findings: list[Finding] = []
        async with open_client(self._policy.trusted_hosts, self._transport) as client:
            try:
                async with asyncio.timeout(_MOST_SECONDS):
                    requests = EndpointRequests(client, endpoint, key)
                    async for finding in _compared(requests, await facts_of(requests), rendered, room):
                        findings.append(finding)
            except (BackendFaultError, NotReached) as error:
                findings.append(_unreachable(endpoint, str(error)))
            except TimeoutError:
                findings.append(_unreachable(endpoint, f"It took longer than {_MOST_SECONDS:.0f} s in all."))
            except Refused as error:
                findings.append(_refusal(str(error)))
            except (FailedPrecondition, PermissionDenied) as error:
                findings.append(Finding("endpoint_refuses", "error", error.problem, error.next_step))
        return Comparison(tuple(findings), _CHECKS)


async def _compared(
    requests: EndpointRequests, facts: Facts, rendered: Sequence[RenderedConversation], room: Room
) -> AsyncIterator[Finding]:
    server = server_of(requests, facts)
    served, own = server.num_context_tokens, room.num_context_tokens
    too_long = _too_long(rendered, served, room)
    if too_long and (served < own or not own):
        yield _short_context(server, too_long, num_prompts=len(rendered), room=room)
    if facts.drops_tools and any(rendering.conversation.tools for rendering in rendered):
        yield Finding(
            "served_tools_dropped",
            "error",
            f"The {server.name} server drops the functions that go beside the messages.",
            "Start it with a chat template that writes functions (--chat-template-file), or put them into the prompt.",
            "chat_template_caps.supports_tools is false",
        )
        return
    # A prompt that does not fit would be refused for its length alone.
    left_out = too_long or _too_long(rendered, own, room)
    async for finding in _rendered(
        server, [rendering for rendering in rendered if rendering not in left_out][:_MOST_CONVERSATIONS]
    ):
        yield finding


async def _rendered(server: Server, rendered: Sequence[RenderedConversation]) -> AsyncIterator[Finding]:
    for rendering in rendered:
        served = await server.rendered(rendering.conversation)
        if served.num_tokens is None:
            yield Finding(
                "served_count_unknown",
                "note",
                f"The {server.name} server tells neither tokens nor their number, so its template was not compared.",
                "Compare by a test run on both sides.",
            )
            return
        finding = _difference(rendering.rendering, served)
        if finding is not None:
            yield finding
            return


def _difference(own: Rendering, served: Served) -> Finding | None:
    if served.token_ids is None:
        return None if served.num_tokens == len(own.token_ids) else _other_count(own, served.num_tokens or 0)
    if served.token_ids == own.token_ids:
        return None
    # A server may leave out a first token that it adds again when it encodes.
    if served.text is not None and not own.text.endswith(served.text):
        return _other_text(own, served.text)
    place = first_difference(own.token_ids, served.token_ids)
    return Finding(
        "served_tokens_differ",
        "error",
        f"The server encodes the same prompt with other tokens, from token {place} on ({own.name}).",
        "Serve the model with the tokenizer of its folder, and let the server add no token at the beginning.",
        f"ours: {list(own.token_ids[place : place + 8])}; served: {list(served.token_ids[place : place + 8])}",
    )


def _other_text(own: Rendering, text: str) -> Finding:
    place = first_difference(own.text, text)
    start, end = max(0, place - _AROUND), place + _AROUND
    return Finding(
        "served_text_differs",
        "error",
        f"The server renders a prompt differently from the model's own template ({own.name}).",
        _SAME_TEMPLATE,
        f"ours: {own.text[start:end]!r}; served: {text[start:end]!r}",
    )


def _other_count(own: Rendering, served: int) -> Finding:
    difference = served - len(own.token_ids)
    return Finding(
        "served_token_count_differs",
        "error" if abs(difference) > 1 else "warning",
        f"The server counts {served} tokens in a prompt that has {len(own.token_ids)} ({own.name}).",
        _SAME_TEMPLATE
        if abs(difference) > 1
        else "Check whether the server adds or drops the token that begins a text.",
        f"difference: {difference:+d}",
    )


def _unreachable(endpoint: Endpoint, reason: str) -> Finding:
    return Finding(
        "endpoint_unreachable",
        "error",
        f"The endpoint does not answer: {reason.rstrip('.')}.",
        "Start the server, and check the address and the port.",
        endpoint.base_url,
    )


def _too_long(
    rendered: Sequence[RenderedConversation], num_context_tokens: int, room: Room
) -> list[RenderedConversation]:
    most = num_context_tokens - room.max_new_tokens
    return [rendering for rendering in rendered if num_context_tokens and rendering.num_tokens > most]


def _short_context(
    server: Server, too_long: Sequence[RenderedConversation], *, num_prompts: int, room: Room
) -> Finding:
    longest = max(rendering.num_tokens for rendering in too_long)
    return Finding(
        "served_context_too_short",
        "error" if len(too_long) == num_prompts else "warning",
        f"The {server.name} server holds {server.num_context_tokens} tokens for a conversation, too few for "
        f"{len(too_long)} of {num_prompts} prompts.",
        "Start the server with a longer context (llama.cpp: -c, per slot; vLLM: --max-model-len; Ollama: num_ctx).",
        f"{longest} + {room.max_new_tokens} > {server.num_context_tokens}",
    )


def _refusal(reason: str) -> Finding:
    return Finding(
        "endpoint_refuses",
        "error",
        "The endpoint refuses the protocol's messages.",
        "Check whether the server's template takes tools and the roles of the messages.",
        reason[:400],
    )
