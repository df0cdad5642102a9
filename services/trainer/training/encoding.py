"""Examples as token ids: by the tokenizer alone, so that the driver of an attempt goes without tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from services.lm.chat import Message, encode_example, render
from services.lm.errors import LmError
from services.lm.training.sequence import TrainedSequence
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.examples import BadExampleError

# The end of the turn, and something before it.
_LEAST_TRAINED_TOKENS = 2


@dataclass(frozen=True)
class EncodedRow:
    """A row as what is trained of it: one sequence, or several where the chat template changes earlier turns."""

    row: DatasetRow
    sequences: tuple[TrainedSequence, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(sequence.ids) for sequence in self.sequences)

    @property
    def num_trained(self) -> int:
        """Tokens that are trained."""
        return sum(sequence.num_trained for sequence in self.sequences)


@dataclass(frozen=True)
class EncodedPair:
    """A row's answer and its rejected one, behind the same prompt."""

    row: DatasetRow
    chosen: TrainedSequence
    rejected: TrainedSequence

    @property
    def sequences(self) -> tuple[TrainedSequence, TrainedSequence]:
        """Both."""
        return self.chosen, self.rejected

    @property
    def longest(self) -> int:
        """Tokens of the longer sequence."""
        return max(len(self.chosen.ids), len(self.rejected.ids))

    @property
    def num_tokens(self) -> int:
        """Tokens of both, the prompt once."""
        return len(self.chosen.ids) + self.rejected.num_trained


class LongExampleError(BadExampleError):
    """A row has more tokens than a training step may have at once.

    Attributes:
        num_tokens: How many it has.
    """

    def __init__(self, example: DatasetRow, num_tokens: int, max_tokens: int) -> None:
        super().__init__(
            f"{example.place} has {num_tokens} tokens, the limit is {max_tokens}: drop it, choose a smaller prompt "
            "size, or raise max_tokens_per_pack where the model's context allows it."
        )
        self.num_tokens = num_tokens


def encode(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[DatasetRow], *, eos_ids: frozenset[int], max_tokens: int
) -> list[EncodedRow]:
    """Return the rows as token ids.

    Raises:
        BadExampleError: The chat template refuses one or leaves an answer out, or it is longer than `max_tokens`; the
            error names it.
    """
    return [encode_one(tokenizer, row, eos_ids=eos_ids, max_tokens=max_tokens) for row in rows]


def encode_one(
    tokenizer: PreTrainedTokenizerBase, row: DatasetRow, *, eos_ids: frozenset[int], max_tokens: int
) -> EncodedRow:
    """Return a row as token ids: each trained turn stands behind exactly the ids that the model is asked with.

    Raises:
        BadExampleError: As in `encode`.
    """
    turns = [row.messages[: place + 1] for place in row.trained_turns]
    answers = [encode_answer(tokenizer, row, turn, eos_ids=eos_ids) for turn in turns]
    if not answers:
        raise BadExampleError(f"{row.place} has the weight 0 at every answer, so there is nothing to train: drop it.")
    encoded = EncodedRow(row, _merged(answers))
    if encoded.num_tokens > max_tokens:
        raise LongExampleError(row, encoded.num_tokens, max_tokens)
    return encoded


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[DatasetRow], *, eos_ids: frozenset[int], max_tokens: int
) -> list[EncodedPair]:
    """Return the rows as pairs of answers to one prompt.

    Raises:
        BadExampleError: A row has no rejected answer, one that is no worse than its own, or as in `encode`.
    """
    return [encode_pair(tokenizer, row, eos_ids=eos_ids, max_tokens=max_tokens) for row in rows]


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, row: DatasetRow, *, eos_ids: frozenset[int], max_tokens: int
) -> EncodedPair:
    """Return a row as a pair of answers to one prompt.

    Raises:
        BadExampleError: As in `encode_pairs`.
    """
    if row.rejected is None:
        raise BadExampleError(f"{row.place} has no rejected answer to compare with: add `rejected`, or train by SFT.")
    answers = (row.messages[-1], row.rejected)
    turns = [(*row.messages[:-1], answer) for answer in answers]
    chosen, rejected = (encode_answer(tokenizer, row, turn, eos_ids=eos_ids) for turn in turns)
    if chosen == rejected:
        raise BadExampleError(f"{row.place} has a rejected answer that is its answer, so nothing can be told: drop it.")
    pair = EncodedPair(row, chosen, rejected)
    if pair.num_tokens > max_tokens:
        raise LongExampleError(row, pair.num_tokens, max_tokens)
    return pair


def encode_answer(
    tokenizer: PreTrainedTokenizerBase, row: DatasetRow, messages: Sequence[Message], *, eos_ids: frozenset[int]
) -> TrainedSequence:
    """Return the last of the row's `messages` as a trained answer to the others.

    Raises:
        BadExampleError: The chat template refuses the messages or leaves the answer out; the error names the row.
    """
    try:
        encoded = encode_example(tokenizer, messages, tools=row.tools, eos_ids=eos_ids)
        drops_calls = _drops_calls(tokenizer, messages, row.tools)
    except LmError as error:
        raise BadExampleError(f"{row.place} cannot be trained on: {error}") from error
    if drops_calls:
        raise BadExampleError(
            f"{row.place} cannot be trained on: the chat template leaves the answer's function calls out; choose a "
            "prompt size whose calls are text, such as compact, or a model whose template writes calls."
        )
    if encoded.num_trained < _LEAST_TRAINED_TOKENS:
        raise BadExampleError(f"{row.place} has an empty answer, so there is nothing to train: drop it.")
    return encoded


def _merged(answers: Sequence[TrainedSequence]) -> tuple[TrainedSequence, ...]:
    """The answers of one conversation in as few sequences as hold them exactly.

    A later turn goes on where the earlier one ended unless the template writes earlier turns in another way once they
    are past, or the tokenizer parts them in another way: then it is a sequence of its own.
    """
    merged: list[TrainedSequence] = []
    for answer in answers:
        if merged and answer.ids[: len(merged[-1].ids)] == merged[-1].ids:
            merged[-1] = TrainedSequence(answer.ids, (*merged[-1].spans, *answer.spans))
        else:
            merged.append(answer)
    return tuple(merged)


def _drops_calls(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[Any]) -> bool:
    *prompt, answer = messages
    if not answer.get("tool_calls"):
        return False
    silent = {name: value for name, value in answer.items() if name != "tool_calls"}
    texts = (render(tokenizer, [*prompt, last], tools=tools, asks=False) for last in (answer, silent))
    return len(set(texts)) == 1
