"""Answering prompts one by one with transformers' own cache: for attention that segments cannot express."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from inspect import signature
from typing import Any

import torch

from services.lm.decoder.whole import computed_whole
from services.lm.generation.batch import CallSettings
from services.lm.generation.constraint import held_to
from services.lm.generation.requests import GenerationRequest, GenerationResult, TokenScores
from services.lm.generation.sampling import choose
from services.lm.generation.scores import drawn_log_probs, score
from services.lm.generation.sequence import SequenceState


def answer_plainly(
    call: CallSettings, requests: Sequence[GenerationRequest], on_step: Callable[[int, int, int], bool]
) -> Iterator[GenerationResult]:
    """The results in the order of the requests; the same tokens as transformers' `generate` if greedy."""
    model: Any = call.loaded.model
    written = 0
    with computed_whole(model):
        for place, request in enumerate(requests):
            follows = call.options.on_piece is not None
            constraint = call.constraints.get(request.key)
            state = SequenceState(
                request, call.loaded.tokenizer, call.loaded.eos_ids, follows_text=follows, constraint=constraint
            )
            for _ in _steps(model, call, request, state):
                written += 1
                if call.options.on_piece:
                    call.options.on_piece(state.piece())
                if not on_step(written, 1, len(requests) - place - 1):
                    return
            yield state.result()


def _steps(model: Any, call: CallSettings, request: GenerationRequest, state: SequenceState) -> Iterator[None]:
    """Write the answer, pausing after each token."""
    start = time.perf_counter()
    state.times.queue = start - call.start
    ids = torch.tensor([list(request.prompt_ids)], device=model.device)
    with torch.no_grad():
        output = model(input_ids=ids, use_cache=_keeps_past(model))
    if call.options.echo:
        first = max(1, request.echo_from)
        state.prompt_scores = _score(call, output.logits[0, first - 1 : -1], request.prompt_ids[first:])
    state.times.prefill = time.perf_counter() - start
    if not request.max_new_tokens:
        return
    while True:
        logits = output.logits[:, -1]
        draws = [] if call.sampling.temperature == 0 else state.draws.next(1)
        choices = choose(held_to(logits, [state.constraint], [0]), call.sampling, draws)
        state.take(choices, [])
        if call.options.drawn_log_probs:
            state.score(TokenScores(tuple(drawn_log_probs(logits, choices, call.sampling))))
        elif call.options.scores:
            state.score(_score(call, logits, choices))
        yield
        if state.reason:
            break
        ids = torch.cat((ids, torch.tensor([choices], device=model.device)), 1)
        past = getattr(output, "past_key_values", None)
        with torch.no_grad():
            output = model(input_ids=ids, use_cache=False) if past is None else _next(model, ids, len(choices), past)
    state.times.decode = time.perf_counter() - start - state.times.prefill


def _next(model: Any, ids: torch.Tensor, count: int, past: Any) -> Any:
    """The pass over the last `count` tokens; places are named, since not every cache knows how long it is."""
    places = torch.arange(ids.shape[1] - count, ids.shape[1], device=ids.device)[None]
    named = {"position_ids": places} if "position_ids" in _parameters(model) else {}
    return model(input_ids=ids[:, -count:], past_key_values=past, use_cache=True, **named)


def _parameters(model: Any) -> Collection[str]:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return signature(inner.forward).parameters


def _keeps_past(model: Any) -> bool:
    """Whether keys and values can be kept; models without attention keep states, each in a way of its own."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    attends = kinds is None or any(("attention" in kind and "linear" not in kind) or kind == "hybrid" for kind in kinds)
    return attends and "past_key_values" in _parameters(model)


def _score(call: CallSettings, logits: torch.Tensor, tokens: Sequence[int]) -> TokenScores:
    return score(call.loaded.tokenizer, logits, tokens, call.options.num_top)
