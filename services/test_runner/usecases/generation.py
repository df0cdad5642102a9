"""Answering one conversation, or continuing one text."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from services.chassis.errors import InvalidArgument, Unavailable
from services.test_runner.domain.generation import GenerationOrder
from services.test_runner.domain.test_run import Form
from services.test_runner.domain.transcript import FinishReason
from services.test_runner.ports.generation import (
    Activity,
    Answer,
    BackendFaultError,
    Delta,
    EndpointPolicy,
    GenerationBackend,
    GenerationEvent,
    Prompt,
    Workload,
)
from services.test_runner.ports.registry import Registry, ResolvedModel
from services.test_runner.usecases.written_calls import CallGate

_TIMEOUT_SECONDS = 600.0


class GenerationUseCases:
    """Generates for one caller at a time as it reads; when the caller goes away, the work ends."""

    def __init__(
        self,
        *,
        registry: Registry,
        backend: GenerationBackend,
        policy: EndpointPolicy,
        note_tokens: Callable[[int], None],
    ) -> None:
        self._registry = registry
        self._note_tokens = note_tokens
        self._backend = backend
        self._policy = policy

    async def generate(self, order: GenerationOrder, caller: str = "") -> AsyncGenerator[Delta | Answer]:
        """Yield the answer's pieces; the last is an `Answer` whose text and tokens are what no piece has brought.

        Callers that wait for a model are served in turn.

        Raises:
            Busy: As much as is allowed waits already, or the models were busy for too long.
            InvalidArgument: A value of the order is out of bounds, the model's chat template refuses the messages, or
                the answer cannot be held to the schema.
            NotFound: There is no such model version.
            Unavailable: The backend broke, which its field `fault` says, or the registry is away.
        """
        order.check()
        model = await self._model(order)
        _check_constraint(order, model)
        # The prompt's own probabilities come first, and they are known at the end.
        workload = replace(_workload(order, model, stream=not order.echo), caller=caller)
        num_tokens = 0
        gate = CallGate([tool["function"]["name"] for tool in order.tools] if order.read_calls else ())
        try:
            async with aclosing(self._backend.generate(workload)) as events:
                async for event in events:
                    num_tokens = _num_tokens(event, num_tokens)
                    if isinstance(event, Delta):
                        yield replace(event, text=gate.feed(event.text))
                    elif isinstance(event, Answer):
                        _check_rendered(event)
                        yield _last(event, gate, is_streamed=workload.stream)
        except BackendFaultError as fault:
            raise Unavailable(f"The backend broke: {fault}", "Try again.", fault="backend") from fault
        finally:
            self._note_tokens(num_tokens)

    async def _model(self, order: GenerationOrder) -> ResolvedModel | None:
        if order.endpoint is not None:
            self._policy.check(order.endpoint)
            return None
        return await self._registry.resolve_model(order.model_version_id)


def _check_constraint(order: GenerationOrder, model: ResolvedModel | None) -> None:
    if order.json_schema and (model is None or model.form is not Form.FOLDER):
        raise InvalidArgument(
            "What a server or llama.cpp answers is not held to a JSON schema, as JSON output and a required call ask.",
            "Ask a version with weights in safetensors, or for text and calls by choice.",
            field="json_schema",
        )


def _num_tokens(event: GenerationEvent, earlier: int) -> int:
    """Return how many tokens were generated; of an answer that is left before its end, a piece counts for one."""
    if isinstance(event, Answer):
        return event.num_generated_tokens or len(event.token_ids)
    return max(earlier, event.num_tokens) if isinstance(event, Activity) else earlier + isinstance(event, Delta)


def _check_rendered(answer: Answer) -> None:
    if answer.finish_reason is FinishReason.TEMPLATE_FAULT:
        raise InvalidArgument(answer.detail, "Send messages that the model's chat template takes.", field="messages")


def _workload(order: GenerationOrder, model: ResolvedModel | None, *, stream: bool) -> Workload:
    prompt = Prompt(
        key="generate",
        messages=order.messages,
        seed=order.seed,
        tools=order.tools,
        text=order.prompt,
        token_ids=order.prompt_token_ids,
        stop=order.stop,
        json_schema=order.json_schema,
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    return Workload(
        base=model.base if model else None,
        adapter=model.adapter if model else None,
        form=model.form if model else Form.FOLDER,
        num_context_tokens=model.num_context_tokens if model else 0,
        prompts=(prompt,),
        sampling=order.sampling,
        endpoint=order.endpoint,
        log_probs=order.log_probs or order.num_top_log_probs > 0,
        num_top_log_probs=order.num_top_log_probs,
        echo=order.echo,
        stream=stream,
    )


def _last(answer: Answer, gate: CallGate, *, is_streamed: bool) -> Answer:
    if is_streamed:
        rest, calls = gate.finish()
        return replace(answer, text=rest, tokens=(), calls=answer.calls or calls)
    return replace(answer, tokens=(*answer.prompt_tokens, *answer.tokens))
