"""One examination: all checks in their order, each left out where an earlier finding explains what it would see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from services.lm.doctor.checks import functions, history, template, tokens
from services.lm.doctor.diagnosis import Diagnosis, Finding, Rendering, gravest_first
from services.lm.doctor.subject import Subject

_FATAL: Final = frozenset({"no_template", "template_broken"})
_REFUSALS: Final = frozenset({"system_refused", "no_tool_role", "demands_alternation", "tool_calls_dropped"})


@dataclass(frozen=True)
class Check:
    """One check; `unless` names findings whose consequence its own would be."""

    run: Callable[[Subject], Iterator[Finding]]
    unless: frozenset[str] = frozenset()
    native_only: bool = False

    @property
    def name(self) -> str:
        """Name of what is checked, such as "stop_tokens"."""
        return self.run.__name__.removeprefix("check_")


CHECKS: Final = (
    Check(template.check_template),
    Check(template.check_determinism),
    Check(template.check_clock, frozenset({"not_deterministic"})),
    Check(template.check_system_role),
    Check(template.check_alternation),
    Check(functions.check_definitions, native_only=True),
    Check(functions.check_calls, native_only=True),
    Check(functions.check_text_beside_calls, native_only=True),
    Check(functions.check_tool_role, frozenset({"tool_calls_dropped"}), native_only=True),
    Check(functions.check_several_calls, frozenset({"no_tool_role", "tool_calls_dropped"}), native_only=True),
    Check(history.check_generation_prompt, frozenset({"not_deterministic"})),
    Check(history.check_history, frozenset({"not_deterministic", "generation_prompt_always"})),
    Check(history.check_thinking),
    Check(template.check_edges),
    Check(template.check_line_ends, frozenset({"contents_escaped"})),
    Check(template.check_markup),
    Check(tokens.check_stop_tokens),
    Check(tokens.check_bos),
    Check(tokens.check_tags),
    Check(tokens.check_answers),
    Check(tokens.check_boundaries, frozenset({"not_deterministic", "history_rewritten"})),
    Check(tokens.check_context),
    Check(template.check_conversations, _REFUSALS),
)


def examine(subject: Subject) -> Diagnosis:
    """Make all checks; without a usable template none but the first."""
    findings: list[Finding] = []
    names: list[str] = []
    for check in CHECKS:
        codes = {finding.code for finding in findings}
        if codes & _FATAL:
            break
        if check.native_only and not subject.native:
            continue
        names.append(check.name)
        if not codes & check.unless:
            findings += check.run(subject)
    return Diagnosis(
        findings=gravest_first(findings),
        checks=tuple(names),
        num_prompt_tokens=tokens.longest_prompt(subject),
        num_context_tokens=subject.num_context_tokens,
        renderings=tuple(_renderings(subject)),
    )


def _renderings(subject: Subject) -> Iterator[Rendering]:
    for conversation in subject.conversations:
        text = subject.render(conversation.prompt, tools=conversation.tools, asks=True)
        if text is not None:
            yield Rendering(conversation.name, text, tuple(subject.ids(text)))
