"""Whether there is a template that renders the simplest question, and the same each time."""

from __future__ import annotations

from collections.abc import Iterator

from services.lm.doctor.checks.probes import SYSTEM, USER
from services.lm.doctor.nouns import Finding, excerpt, first_difference
from services.lm.doctor.subject import Subject

_NUM_RENDERINGS = 8


def check_template(subject: Subject) -> Iterator[Finding]:
    """No template, several of them, or one that fails on a plain question."""
    template = subject.tokenizer.chat_template
    if isinstance(template, dict):
        yield Finding(
            "several_templates",
            "note",
            f"The tokenizer has {len(template)} named chat templates: here and in transformers, tool_use renders where "
            "functions are offered, and default elsewhere; servers choose in their own ways.",
            "Ask the server that you will use, or keep one that has a branch for tools, as chat_template.jinja.",
            excerpt(", ".join(template)),
        )
    if not template:
        yield Finding(
            "no_template",
            "error",
            "The tokenizer has no chat template.",
            "Choose an instruction-tuned model, or put its chat_template.jinja into the folder.",
        )
    elif reason := subject.refusal([USER]):
        yield Finding(
            "template_broken",
            "error",
            "The chat template fails on a single question.",
            "Take chat_template.jinja from the model's original repository.",
            excerpt(reason),
        )


def check_determinism(subject: Subject) -> Iterator[Finding]:
    """Two renderings of the same messages differ."""
    texts = [subject.render([USER]) or "" for _ in range(_NUM_RENDERINGS)]
    other = next((text for text in texts if text != texts[0]), None)
    if other is not None:
        yield Finding(
            "not_deterministic",
            "error",
            "The chat template renders the same messages differently each time.",
            "Remove what draws at random from the template.",
            excerpt(other, first_difference(texts[0], other)),
        )


def check_clock(subject: Subject) -> Iterator[Finding]:
    """The rendered text holds the date or the time."""
    messages = [SYSTEM, USER] if subject.render([SYSTEM, USER]) else [USER]
    # A template that asks for the time fails when a text stands in the place of the clock.
    if subject.render(messages, strftime_now="") is None:
        yield Finding(
            "clock_in_prompt",
            "error",
            "The chat template writes today's date, so that prompts of tomorrow differ from those that were trained.",
            "Remove strftime_now from the template, or write a fixed date.",
            excerpt(subject.render(messages) or ""),
        )
