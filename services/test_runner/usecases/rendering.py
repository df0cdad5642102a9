"""Showing what a model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.chassis.errors import InvalidArgument, NotFound, Unavailable
from services.protocols.cases import Case
from services.protocols.session import Session
from services.test_runner.domain import Message
from services.test_runner.domain.generation import check_conversation, check_id, plain_tools
from services.test_runner.ports import BackendFaultError, Prompt, PromptRenderer, Registry, Rendered
from services.test_runner.resolution import check_prompt_size, profile_of

DEFAULT_PROMPT_SIZE = "compact"


@dataclass(frozen=True)
class RenderOrder:
    """What is to be shown: a conversation with its tools, or the opening of a case."""

    model_version_id: str
    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    test_suite_version_id: str = ""
    case_id: str = ""
    prompt_size: str = ""


@dataclass(frozen=True)
class RenderedPrompt:
    """What a model reads, and the conversation that it was made of."""

    rendered: Rendered
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]


class RenderingUseCases:
    """Renders by the model's own tokenizer, in the model's worker."""

    def __init__(self, *, registry: Registry, renderer: PromptRenderer) -> None:
        self._registry = registry
        self._renderer = renderer

    async def render(self, order: RenderOrder) -> RenderedPrompt:
        """Return the exact text and token ids that a model reads.

        Raises:
            InvalidArgument: There is neither a conversation nor a case, or the template refuses it.
            NotFound: There is no such model version, suite version or case.
            Unavailable: The worker broke.
        """
        check_id("model_version_id", order.model_version_id)
        messages, tools = await self._conversation(order)
        check_conversation(messages, tools)
        model = await self._registry.resolve_model(order.model_version_id)
        prompt = Prompt("render", messages, 0, tools)
        try:
            return RenderedPrompt(await self._renderer.render(model.base, model.adapter, prompt), messages, tools)
        except BackendFaultError as fault:
            raise Unavailable(f"The worker broke: {fault}", "Try again.") from fault

    async def _conversation(self, order: RenderOrder) -> tuple[tuple[Message, ...], tuple[Mapping[str, Any], ...]]:
        if not order.test_suite_version_id and not order.case_id:
            return order.messages, order.tools
        if order.messages or order.tools:
            raise InvalidArgument(
                "The request has both a conversation and a case.", "Send one of them.", field="messages"
            )
        suite = await self._registry.resolve_suite(order.test_suite_version_id)
        profile, size = profile_of(suite.profile_id), order.prompt_size or DEFAULT_PROMPT_SIZE
        check_prompt_size(profile, size, "prompt_size")
        session = Session(profile, await self._case(suite.test_suite_version_id, order.case_id), size)
        return tuple(map(Message.from_chat, session.messages)), plain_tools(session.tools)

    async def _case(self, test_suite_version_id: str, case_id: str) -> Case:
        token = ""
        while True:
            page = await self._registry.list_cases(test_suite_version_id, token)
            for case in page.cases:
                if case.case_id == case_id:
                    return case
            token = page.next_token
            if not token:
                raise NotFound(
                    f"The suite {test_suite_version_id} has no case {case_id[:100]!r}.", "List the suite's cases."
                )
