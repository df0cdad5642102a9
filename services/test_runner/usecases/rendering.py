"""Showing what a model reads."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.errors import InvalidArgument, NotFound, Unavailable
from services.protocols.cases import Case
from services.protocols.profile import Profile
from services.protocols.session import Session
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import check_conversation, check_id, plain_tools
from services.test_runner.domain.transcript import Message
from services.test_runner.ports.generation import (
    BackendFaultError,
    EndpointPolicy,
    EndpointRenderer,
    Prompt,
    PromptRenderer,
    Rendered,
)
from services.test_runner.ports.registry import Registry
from services.test_runner.resolution import check_prompt_size, profile_of, protocol_answer

DEFAULT_PROMPT_SIZE = "compact"
_NOT_RENDERED = Rendered("", (), ())


@dataclass(frozen=True)
class RenderOrder:
    """What is to be shown: a conversation with its tools, or that of a case and the answers to it so far."""

    model_version_id: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    test_suite_version_id: str = ""
    case_id: str = ""
    prompt_size: str = ""
    answers: tuple[Message, ...] = ()
    endpoint: Endpoint | None = None


@dataclass(frozen=True)
class RenderedPrompt:
    """A conversation, what a model reads of it, and why the client takes no further answer."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    stop: str = ""
    rendered: Rendered = _NOT_RENDERED


class RenderingUseCases:
    """Renders by the model's own tokenizer, in the model's worker, or where it is served."""

    def __init__(
        self, *, registry: Registry, renderer: PromptRenderer, served: EndpointRenderer, policy: EndpointPolicy
    ) -> None:
        self._registry = registry
        self._renderer = renderer
        self._served, self._policy = served, policy

    async def render(self, order: RenderOrder) -> RenderedPrompt:
        """Return the exact text and token ids that a model reads; without a model the conversation of a case alone.

        Raises:
            InvalidArgument: There is neither a conversation nor a case, an answer is none, or the template refuses it.
            NotFound: There is no such model version, suite version or case.
            FailedPrecondition: The endpoint does not tell the tokens of its prompts.
            Unavailable: The worker broke, or the endpoint is away.
        """
        if order.endpoint is not None:
            order.endpoint.check()
            self._policy.check(order.endpoint)
        elif order.model_version_id or not order.case_id:
            check_id("model_version_id", order.model_version_id)
        conversation = await self._conversation(order)
        check_conversation(conversation.messages, conversation.tools)
        prompt = Prompt("render", conversation.messages, 0, conversation.tools)
        if order.endpoint is not None:
            return replace(conversation, rendered=await self._served.render(order.endpoint, prompt))
        if not order.model_version_id:
            return conversation
        model = await self._registry.resolve_model(order.model_version_id)
        try:
            return replace(conversation, rendered=await self._renderer.render(model, prompt))
        except BackendFaultError as fault:
            raise Unavailable(f"The worker broke: {fault}", "Try again.") from fault

    async def _conversation(self, order: RenderOrder) -> RenderedPrompt:
        if not order.test_suite_version_id and not order.case_id:
            if order.answers:
                raise InvalidArgument("The request has answers and no case.", "Name the case.", field="case_id")
            return RenderedPrompt(order.messages, order.tools)
        if order.messages or order.tools:
            raise InvalidArgument(
                "The request has both a conversation and a case.", "Send one of them.", field="messages"
            )
        suite = await self._registry.resolve_suite(order.test_suite_version_id)
        profile, size = profile_of(suite.profile_id), order.prompt_size or DEFAULT_PROMPT_SIZE
        check_prompt_size(profile, size, "prompt_size")
        case = await self._case(suite.test_suite_version_id, order.case_id)
        session = await asyncio.to_thread(_answered, profile, case, size, order.answers)
        messages = tuple(map(Message.from_chat, session.messages))
        return RenderedPrompt(messages, plain_tools(session.tools), session.stop or "")

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
                    f"The suite {test_suite_version_id} has no case {case_id[:100]!r}.",
                    "List the suite's cases.",
                    field="case_id",
                )


def _answered(profile: Profile, case: Case, prompt_size: str, answers: tuple[Message, ...]) -> Session:
    session = Session(profile, case, prompt_size)
    for place, answer in enumerate(answers):
        if answer.role != "assistant":
            raise InvalidArgument(
                f"The answer {place} has the role {answer.role[:30]!r}.",
                "Send the model's answers alone, of the role assistant: the client's replies are simulated.",
                field=f"answers[{place}].role",
            )
        if session.stop is None:
            session.answer(protocol_answer(profile, answer.content, answer.tool_calls))
    return session
