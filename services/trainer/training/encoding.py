"""Examples as token ids: by the tokenizer alone, so that the driver of an attempt goes without tensors."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from services.lm.chat import encode_example, render
from services.lm.errors import LmError
from services.lm.training.sequence import TrainedSequence
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.examples import BadExampleError

# The end of the turn, and something before it.
_LEAST_TRAINED_TOKENS = 2


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
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[DatasetRow], *, eos_ids: frozenset[int], max_tokens: int
) -> list[TrainedSequence]:
    """Return the examples as token ids.

    Raises:
        BadExampleError: The chat template refuses one or leaves its answer out, or it is longer than `max_tokens`; the
            error names it.
    """
    return [encode_one(tokenizer, example, eos_ids=eos_ids, max_tokens=max_tokens) for example in examples]


def encode_one(
    tokenizer: PreTrainedTokenizerBase, example: DatasetRow, *, eos_ids: frozenset[int], max_tokens: int
) -> TrainedSequence:
    """Return an example as token ids.

    Raises:
        BadExampleError: As in `encode`.
    """
    try:
        encoded = encode_example(tokenizer, example.messages, tools=example.tools, eos_ids=eos_ids)
        drops_calls = _drops_calls(tokenizer, example)
    except LmError as error:
        raise BadExampleError(f"{example.place} cannot be trained on: {error}") from error
    if drops_calls:
        raise BadExampleError(
            f"{example.place} cannot be trained on: the chat template leaves the answer's function calls out; choose a "
            "prompt size whose calls are text, such as compact, or a model whose template writes calls."
        )
    if encoded.num_trained < _LEAST_TRAINED_TOKENS:
        raise BadExampleError(f"{example.place} has an empty answer, so there is nothing to train: drop it.")
    if len(encoded.ids) > max_tokens:
        raise LongExampleError(example, len(encoded.ids), max_tokens)
    return encoded


def _drops_calls(tokenizer: PreTrainedTokenizerBase, example: DatasetRow) -> bool:
    *prompt, answer = example.messages
    if not answer.get("tool_calls"):
        return False
    silent = {name: value for name, value in answer.items() if name != "tool_calls"}
    texts = (render(tokenizer, [*prompt, last], tools=example.tools, asks=False) for last in (answer, silent))
    return len(set(texts)) == 1
