"""Where two runs of one suite version differ."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.test_runner.domain.test_run import RunRecord, TestRunSpec
from services.test_runner.domain.transcript import Message, Transcript

_AROUND = 40
_TOKENS_SHOWN = 8
_UNKNOWN = "not known"
_SAMPLING_NAMES = {"temperature": "The temperature", "max_new_tokens": "The limit of new tokens"}


@dataclass(frozen=True)
class Difference:
    """The first thing in which two transcripts of one case differ.

    Attributes:
        field: `missing`, `messages`, `token_ids` or `finish_reason`.
        turn: number of the answer, from 0, that differs or that follows what differs.
        token_index: place of the first token that differs; -1 when none is known.
        before: the first transcript's text around the difference.
        after: the second's.
    """

    case_id: str
    repeat: int
    field: str
    turn: int = 0
    token_index: int = -1
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class RunComparison:
    """What two runs have in common; `differences` are the first ones, in the order of the first run."""

    num_compared: int
    num_identical: int
    num_equal_answers: int
    differences: tuple[Difference, ...]
    is_identical: bool
    provenance_differences: tuple[str, ...]
    num_unanswered: int = 0


def first_difference(before: Transcript, after: Transcript) -> Difference | None:
    """Return the first thing in which two transcripts of one case differ, or None.

    Messages come before token ids, and token ids before finish reasons. The ids of calls count for nothing: servers
    draw them.
    """
    case = (before.case_id, before.repeat)
    pairs = itertools.zip_longest(before.messages, after.messages)
    for index, (left, right) in enumerate(pairs):
        if _said(left) != _said(right):
            turn = sum(1 for answer in before.turns if answer.message_index < index)
            place = _token_index(before, after, turn) if left and left.role == "assistant" else -1
            return Difference(*case, "messages", turn, place, *_excerpts(_text(left), _text(right)))
    return _difference_in_turns(before, after)


def has_equal_answers(before: Transcript, after: Transcript) -> bool:
    """Return whether all answers have the same text and calls."""
    return list(map(_said, before.answers)) == list(map(_said, after.answers))


def provenance_differences(
    before: tuple[TestRunSpec, RunRecord], after: tuple[TestRunSpec, RunRecord]
) -> tuple[str, ...]:
    """Return a sentence for each thing that two runs ran with and that differs."""
    left, right = _facts(*before), _facts(*after)
    return tuple(
        f"{name} is {left.get(name) or _UNKNOWN} in the first run and {right.get(name) or _UNKNOWN} in the second."
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    )


def _difference_in_turns(before: Transcript, after: Transcript) -> Difference | None:
    case = (before.case_id, before.repeat)
    for turn, (left, right) in enumerate(zip(before.turns, after.turns, strict=False)):
        # An endpoint that does not tell its token ids cannot differ in them.
        if left.token_ids and right.token_ids and left.token_ids != right.token_ids:
            place = _first_unequal(left.token_ids, right.token_ids)
            excerpts = (str(list(ids[place : place + _TOKENS_SHOWN])) for ids in (left.token_ids, right.token_ids))
            return Difference(*case, "token_ids", turn, place, *excerpts)
    reasons = [tuple(turn.finish_reason for turn in item.turns) or (item.finish_reason,) for item in (before, after)]
    if reasons[0] == reasons[1]:
        return None
    turn = _first_unequal(*reasons)
    excerpts = (str(side[turn]) if turn < len(side) else "" for side in reasons)
    return Difference(*case, "finish_reason", turn, -1, *excerpts)


def _token_index(before: Transcript, after: Transcript, turn: int) -> int:
    if turn >= min(len(before.turns), len(after.turns)):
        return -1
    left, right = before.turns[turn].token_ids, after.turns[turn].token_ids
    return _first_unequal(left, right) if left and right and left != right else -1


def _first_unequal(left: Sequence[object], right: Sequence[object]) -> int:
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def _said(message: Message | None) -> tuple[object, ...]:
    if message is None:
        return ()
    return (message.role, message.content, *((call.name, call.arguments) for call in message.tool_calls))


def _text(message: Message | None) -> str:
    if message is None:
        return ""
    return message.content + "".join(f" {call.name}({call.arguments})" for call in message.tool_calls)


def _excerpts(left: str, right: str) -> Iterator[str]:
    place = _first_unequal(left, right)
    for text in (left, right):
        yield text[max(0, place - _AROUND) : place + _AROUND]


def _facts(spec: TestRunSpec, record: RunRecord) -> Mapping[str, str]:
    inputs, ran = record.inputs, record.environment
    facts = {
        "The model's digest": inputs.base.digest if inputs.base else "",
        "The adapter's digest": inputs.adapter.digest if inputs.adapter else "",
        "The suite's digest": inputs.test_suite_digest,
        "The profile's digest": inputs.profile_digest,
        "The chat template's digest": ran.chat_template_digest,
        "The prompt size": spec.prompt_size,
        "The number format": ran.dtype,
        "The device": ran.device,
        "The number of threads": str(ran.num_threads or ""),
        **{_SAMPLING_NAMES.get(name, name): str(value) for name, value in vars(spec.sampling).items()},
        "The seed": str(spec.seed),
        "The number of repeats": str(spec.num_repeats),
        "The throughput mode": "on" if spec.throughput else "off",
        "The endpoint": f"{spec.endpoint.model} at {spec.endpoint.base_url}" if spec.endpoint else "",
        "The window's size": str(inputs.window_size),
    }
    facts |= {f"The version of {name}": version for name, version in ran.library_versions.items()}
    return facts | {f"The endpoint's {name}": value for name, value in ran.endpoint.items()}
