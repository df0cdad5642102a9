"""Single answers as a person sees them: what the model read, what it wrote, and what the client makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drillyard.evaluator.v1.verdict_pb2 import Layer, Verdict
from drillyard.test_runner.v1.transcript_pb2 import FinishReason, GenerateResponse, Message, RenderPromptResponse

from ui.shared.words import calls_text
from ui.test_runs.transcripts import AnswerView, VerdictRow, cut, verdict_row

_MOST_TOKENS = 20_000
_TEXTS = {
    FinishReason.FINISH_REASON_LENGTH: "The token limit ended the answer.",
    FinishReason.FINISH_REASON_CONTEXT_OVERFLOW: "Prompt and answer do not fit the model's context.",
    FinishReason.FINISH_REASON_BACKEND_FAULT: "The backend failed.",
    FinishReason.FINISH_REASON_TEMPLATE_FAULT: "The chat template refuses the conversation.",
}


@dataclass(frozen=True)
class PromptView:
    """The exact text that a model reads, its tokens with their ids, and what is offered beside it."""

    text: str
    tokens: tuple[tuple[int, str], ...]
    num_tokens: int
    tools: tuple[str, ...]


@dataclass(frozen=True)
class GenerationView:
    """An answer so far; `is_done` once the model has ended it."""

    text: str
    calls: tuple[str, ...]
    is_done: bool
    facts: str
    problem: str


@dataclass(frozen=True)
class JudgementView:
    """What the client makes of an answer."""

    answer: AnswerView
    row: VerdictRow
    layers: Sequence[Layer]
    scores: tuple[tuple[str, float], ...]
    style_notes: tuple[str, ...]


def prompt_view(response: RenderPromptResponse) -> PromptView:
    """Return the view of a rendered prompt; of a very long one the first 20,000 tokens are listed."""
    pairs = zip(response.token_ids[:_MOST_TOKENS], response.tokens[:_MOST_TOKENS], strict=False)
    return PromptView(response.text, tuple(pairs), len(response.token_ids), tuple(response.tools))


def generation_view(answer: Message, last: GenerateResponse | None = None, seconds: float = 0.0) -> GenerationView:
    """Return the view of an answer; the last message of its stream says how it ended."""
    if last is None:
        return GenerationView(answer.content, calls_text(answer), is_done=False, facts="", problem="")
    cached = f" ({last.num_cached_tokens:,} from a cache)" if last.num_cached_tokens else ""
    facts = f"{last.num_prompt_tokens:,} prompt tokens{cached} · {last.num_generated_tokens:,} answer tokens"
    facts += f" · {seconds:.1f} s" if seconds else ""
    problem = " ".join(part for part in (_TEXTS.get(last.finish_reason, ""), last.detail) if part)
    return GenerationView(answer.content, calls_text(answer), is_done=True, facts=facts, problem=problem)


def judgement_view(verdict: Verdict, message: Message, turn: int) -> JudgementView:
    """Return the view of a verdict on answers that are not stored; `message` is the last one, of the turn `turn`."""
    answer = AnswerView((), *cut(message.content, verdict, turn), calls_text(message), "", "")
    scores = tuple((name, verdict.scores[name]) for name in sorted(verdict.scores))
    return JudgementView(answer, verdict_row(verdict), list(verdict.layers), scores, tuple(verdict.style_notes))
