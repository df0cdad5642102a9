"""Whether the longest prompt and an answer fit the model's context."""

from __future__ import annotations

from collections.abc import Iterator

from services.lm.doctor.nouns import Finding
from services.lm.doctor.subject import Subject


def longest_prompt(subject: Subject) -> int:
    """Tokens of the longest prompt; 0 when none can be rendered."""
    return max(_lengths(subject).values(), default=0)


def check_context(subject: Subject) -> Iterator[Finding]:
    """The model's context is shorter than a prompt with an answer: of some cases a warning, of all an error."""
    lengths, held, answer = _lengths(subject), subject.num_context_tokens, subject.max_new_tokens
    too_long = [name for name, length in lengths.items() if held and length + answer > held]
    if not held:
        yield Finding(
            "context_unknown",
            "note",
            "The configuration does not say how many tokens the model's context holds.",
            "Set max_position_embeddings in config.json.",
        )
    elif too_long:
        longest = max(too_long, key=lambda name: lengths[name])
        yield Finding(
            "context_too_short",
            "error" if len(too_long) == len(lengths) else "warning",
            f"{len(too_long)} of {len(lengths)} prompts are too long for the model's context of {held} tokens: "
            f"the longest has {lengths[longest]} and an answer up to {answer} ({longest}).",
            "Use a smaller prompt size, leave long cases out, or take a model with a longer context.",
            f"{lengths[longest]} + {answer} > {held}",
        )


def _lengths(subject: Subject) -> dict[str, int]:
    texts = {each.name: subject.render(each.prompt, tools=each.tools, asks=True) for each in subject.conversations}
    return {name: len(subject.ids(text)) for name, text in texts.items() if text}
