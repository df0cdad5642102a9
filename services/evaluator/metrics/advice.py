"""Sentences that a person can act on, from the layers and details of the verdicts that fail."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from services.evaluator.domain.metrics import Rates
from services.evaluator.domain.tallies import Failing, Totals
from services.protocols.verdict import NOT_THE_MODELS, UNANSWERED, Fault

_NUM_TOOLS, _NUM_KINDS = 6, 3
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|\[.*?\](?:\])*|\{.*?\}|\S*[/\\]\S*|\d+")
_DIFFERENCE = re.compile(r"^(\w+)\S* is (?:(missing): |.*, not |.*, (which the task does not ask for)\.$)", re.DOTALL)
_IN_TOOL = re.compile(r"^(?:Answer \d+: )?(?:In \w+, )?")

_CURES: Mapping[str, str] = MappingProxyType(
    {
        Fault.TEXT_AFTER: "the answer ended with its call",
        Fault.SEVERAL_CALLS: "the answer made one call only",
        Fault.SECOND_TOOL: "the answer made one call only",
        Fault.WRAPPED: "the call stood outside a code fence",
        Fault.CUT_OFF: "the token limit (max_new_tokens) let the answer end",
        Fault.UNCLOSED: "the call were closed",
        Fault.NOT_ALLOWED_IN_MODE: "the mode offered the tool",
        Fault.FILE_PATTERN: "the mode's file pattern let the path through",
    }
)


@dataclass(frozen=True)
class _Kind:
    layer: str
    fault: str
    words: str


def advise(failing: Iterable[Failing], by_tool: Mapping[str, Rates], totals: Totals) -> tuple[str, ...]:
    """Return sentences on what fails, the tool with most failing answers first.

    Failing verdicts are grouped by tool, first failing layer, fault and the detail without its values. What would be
    cured is counted only where nothing else is wrong with an answer: every other layer that the case asks for, what the
    call does among them, was judged and passed.
    """
    groups: dict[str, list[Failing]] = {}
    unanswered: dict[str, list[Failing]] = {}
    for failure in failing:
        if failure.cause in NOT_THE_MODELS:
            unanswered.setdefault(failure.cause, []).append(failure)
        else:
            groups.setdefault(failure.tool, []).append(failure)
    order = sorted(groups, key=lambda tool: (-len(groups[tool]), tool))
    about_tools = [_about_tool(tool, groups[tool], by_tool[tool].num_cases) for tool in order[:_NUM_TOOLS]]
    about_faults = [_about_fault(cause, unanswered[cause], by_tool) for cause in sorted(unanswered)]
    return (*about_faults, *about_tools, *_about_all(groups, by_tool), *_about_grading(totals))


def _about_fault(cause: str, unanswered: Sequence[Failing], by_tool: Mapping[str, Rates]) -> str:
    """Return what is wrong besides the model; no training mends it."""
    total = sum(rates.num_cases + rates.num_unanswered for rates in by_tool.values())
    sentences = Counter(failure.sentence for failure in unanswered)
    such = ", such as" if len(sentences) > 1 else ":"
    (sentence, _), *_ = sentences.most_common(1)
    if cause == UNANSWERED:
        return (
            f"{len(unanswered)} of {total} cases were not answered, so no rate counts them{such} "
            f"“{sentence.removesuffix('.')}”. Mend that and finish the missing cases of the run."
        )
    return (
        f"{len(unanswered)} of {total} cases are no failures of the model but of what serves it ({cause}){such} "
        f"“{sentence.removesuffix('.')}”. Mend that and run again, before anything is trained."
    )


def _about_tool(tool: str, failing: Sequence[Failing], total: int) -> str:
    kinds: dict[_Kind, list[Failing]] = {}
    for failure in failing:
        kinds.setdefault(_kind(failure), []).append(failure)
    order = sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind.words))
    words = "; ".join(_about_kind(kinds[kind]) for kind in order[:_NUM_KINDS])
    num_others = sum(len(kinds[kind]) for kind in order[_NUM_KINDS:])
    rest = f"; {num_others} in {'another way' if num_others == 1 else 'other ways'}" if num_others else ""
    return f"Fails {len(failing)} of {total} {tool} answers: {words}{rest}."


def _about_kind(failing: Sequence[Failing]) -> str:
    first, count = failing[0], len(failing)
    sentence = _IN_TOOL.sub("", first.sentence).removesuffix(".")
    such = ", such as" if len({failure.sentence for failure in failing}) > 1 else ":"
    words = f"{count} by {first.cause or first.fault}{such} “{sentence}”"
    num_sole = sum(failure.is_sole for failure in failing)
    if not num_sole:
        return words
    who = "it" if count == num_sole == 1 else "all" if count == num_sole else str(num_sole)
    if cure := _CURES.get(first.fault):
        return f"{words} ({who} would conform if {cure})"
    return f"{words} (nothing else is wrong with {'them' if who == 'all' else f'{who} of them' if count > 1 else who})"


def _about_all(groups: Mapping[str, Sequence[Failing]], by_tool: Mapping[str, Rates]) -> list[str]:
    """Return what is true across tools: one cause behind most failures is one thing to train or to set."""
    everything = [failure for failing in groups.values() for failure in failing]
    if not everything:
        return []
    cause, count = Counter(failure.cause for failure in everything).most_common(1)[0]
    tools = len({failure.tool for failure in everything if failure.cause == cause})
    if tools < 2 or 2 * count < len(everything):
        return []
    total = sum(rates.num_cases for rates in by_tool.values())
    return [
        f"{cause} alone makes {count} of all {total} answers fail, over {tools} tools: "
        "mend it first, by examples of that cause or, if it is a limit, by the run's settings."
    ]


def _about_grading(totals: Totals) -> list[str]:
    return [
        sentence if count == 1 else f"{sentence} ({count} times)"
        for sentence, count in sorted(totals.notes.items(), key=lambda entry: (-entry[1], entry[0]))
    ]


def _kind(failure: Failing) -> _Kind:
    words = _IN_TOOL.sub("", failure.sentence)
    if failure.fault == Fault.WRONG_ARGUMENTS and (difference := _DIFFERENCE.match(words)):
        # What is missing or too much is told apart from what has another value.
        return _Kind(failure.layer, failure.fault, f"{difference[1]} {difference[2] or difference[3] or 'differs'}")
    return _Kind(failure.layer, failure.fault, _VALUES.sub("…", words))
