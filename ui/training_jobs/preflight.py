"""What is known of a training before it starts, in words: the same on the page and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drillyard.trainer.v1.preflight_pb2 import RowTokens, TrainingPreflight

from ui.shared.words import count_text, percent_text, size_text, span_text


@dataclass(frozen=True)
class TokenView:
    """One token as it is shown; a line end is seen, and kept."""

    text: str
    token_id: int
    span: int


@dataclass(frozen=True)
class RowView:
    """A row's tokens, and what of them is trained."""

    line: int
    example_id: str
    sentence: str
    tokens: tuple[TokenView, ...]


@dataclass(frozen=True)
class PreflightView:
    """All of it; `tone` is what colour and sign say."""

    title: str
    tone: str
    is_whole: bool
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]
    overlaps: tuple[str, ...]
    row: RowView | None


def preflight_view(preflight: TrainingPreflight) -> PreflightView:
    """Return the view of what is known so far."""
    is_whole = preflight.num_checked_rows >= preflight.num_rows
    title, tone = ("Ready to start", "good") if is_whole else (_progress(preflight), "waiting")
    if preflight.refusals:
        title, tone = "This cannot start", "bad"
    return PreflightView(
        title=title,
        tone=tone,
        is_whole=is_whole,
        refusals=tuple(preflight.refusals),
        warnings=tuple(preflight.warnings),
        facts=tuple(_facts(preflight)),
        faults=tuple(_faults(preflight)),
        overlaps=tuple(_overlaps(preflight)),
        row=_row(preflight.row) if preflight.HasField("row") else None,
    )


def _progress(preflight: TrainingPreflight) -> str:
    return f"Looking at rows: {preflight.num_checked_rows:,} of about {preflight.num_rows:,}"


def token_facts(preflight: TrainingPreflight) -> Iterator[tuple[str, str]]:
    """Yield how long the rows are by the tokenizer of the model, and how much of them is trained."""
    lengths = preflight.lengths
    if preflight.HasField("lengths"):
        span = f"{lengths.min:,} to {lengths.max:,}"
        yield "Tokens of a row", f"{span} · half have {lengths.median:,} at most, 95 % have {lengths.p95:,} at most"
        over = f" · {lengths.num_over_limit:,} rows have more" if lengths.num_over_limit else ""
        yield "Longest allowed", f"{lengths.limit:,} tokens{over}"
        yield "Trained tokens", f"{lengths.num_trained_tokens:,}"


def _facts(preflight: TrainingPreflight) -> Iterator[tuple[str, str]]:
    prefix, disk = preflight.shared_prefix, preflight.disk
    rows = f"{preflight.num_usable_rows:,} of {preflight.num_train_rows:,} can be trained on"
    yield "Rows", f"{rows} · {preflight.num_validation_rows:,} to validate with"
    yield from token_facts(preflight)
    if preflight.HasField("shared_prefix"):
        yield (
            "Shared beginnings",
            (
                f"{prefix.num_raw_tokens:,} tokens an epoch, of which {prefix.num_unique_tokens:,} are computed: "
                f"{prefix.ratio:.1f} times fewer"
            ),
        )
    if preflight.num_duplicates:
        yield "Repeated rows", f"{preflight.num_duplicates:,}"
    yield from _costs(preflight)
    yield "Disk", f"{size_text(disk.needed_bytes)} of {size_text(disk.free_bytes)} free"
    if preflight.HasField("duration"):
        yield "Duration", _duration(preflight)
    yield "Device", preflight.device


def _costs(preflight: TrainingPreflight) -> Iterator[tuple[str, str]]:
    memory = preflight.memory
    share = percent_text(memory.num_trained_weights / max(1, memory.num_weights))
    yield "Trained weights", (f"{count_text(memory.num_trained_weights)} of {count_text(memory.num_weights)} ({share})")
    named = {
        "weights": memory.weights_bytes,
        "optimizer": memory.optimizer_bytes,
        "reference": memory.reference_bytes,
        "activations": memory.activation_bytes,
        "libraries": memory.runtime_bytes,
    }
    parts = ", ".join(f"{name} {size_text(size)}" for name, size in named.items() if size)
    yield (
        "Memory of a worker",
        f"about {size_text(memory.total_bytes)} of {size_text(memory.available_bytes)} ({parts})",
    )


def _duration(preflight: TrainingPreflight) -> str:
    duration = preflight.duration
    steps = f"{duration.num_steps:,} step{'s' * (duration.num_steps != 1)}"
    if not duration.seconds:
        return f"{steps}. {duration.basis}"
    return f"about {span_text(duration.seconds)} for {steps}. {duration.basis}"


def _faults(preflight: TrainingPreflight) -> Iterator[str]:
    yield from (fault.reason for fault in preflight.faults)
    if others := preflight.num_faults - len(preflight.faults):
        lines = ", ".join(map(str, preflight.fault_lines[:50]))
        yield f"{others:,} more rows cannot be used (lines {lines}{' …' * (others > 50)})."


def _overlaps(preflight: TrainingPreflight) -> Iterator[str]:
    for overlap in preflight.overlaps:
        yield (
            f"Line {overlap.line}, example {overlap.example_id}: nearly the case {overlap.case_id} of "
            f"{overlap.test_suite_version_id}, {percent_text(overlap.share)} of its task."
        )
    if others := preflight.num_overlaps - len(preflight.overlaps):
        yield f"{others:,} more rows are."


def _row(row: RowTokens) -> RowView:
    trained = sum(token.span > 0 for token in row.tokens)
    spans = max((token.span for token in row.tokens), default=0)
    sentence = f"{row.num_tokens:,} tokens, {trained:,} of them trained"
    if spans > 1:
        sentence += f" in {spans} stretches"
    if row.first_token or len(row.tokens) < row.num_tokens:
        sentence += f"; shown are those from {row.first_token + 1:,} to {row.first_token + len(row.tokens):,}"
    tokens = (TokenView(token.text.replace("\n", "↵\n"), token.token_id, token.span) for token in row.tokens)
    return RowView(row.line, row.example_id, f"{sentence}.", tuple(tokens))
