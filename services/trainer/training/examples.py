"""The examples of a dataset version, and the order in which they are trained."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 1 << 20


class BadExampleError(ValueError):
    """A row of the dataset cannot be used; the text names its line."""


@dataclass(frozen=True)
class Example:
    """One row: a conversation in OpenAI's form whose last message is the answer, and the case that it answers.

    Attributes:
        line: Where it stands in the dataset's file, from 1.
    """

    example_id: str
    messages: tuple[dict[str, Any], ...]
    profile_id: str
    case: dict[str, Any] | None
    tools: tuple[dict[str, Any], ...] = ()
    line: int = 0

    @property
    def place(self) -> str:
        """Where a person finds it, as the beginning of a sentence."""
        return f"Line {self.line} of the dataset: Example {self.example_id[:100]}"


@dataclass(frozen=True)
class Dataset:
    """The two splits, in the file's order."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]


def read_dataset(path: Path) -> Dataset:
    """Return the examples in a JSONL file.

    Raises:
        BadExampleError: A line is too long, not JSON or lacks a part, or there is no example to train on.
    """
    splits: dict[str, list[Example]] = {"train": [], "validation": []}
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise BadExampleError(f"Line {number} of the dataset is longer than {MAX_LINE_BYTES} bytes.")
            if line.strip():
                split, example = _parse(line, number)
                splits[split].append(example)
    if not splits["train"]:
        raise BadExampleError("The dataset has no example in its train split.")
    return Dataset(tuple(splits["train"]), tuple(splits["validation"]))


def batch_of(step: int, *, num_examples: int, batch_size: int, seed: int) -> list[int]:
    """Return the places of the examples of one optimizer step, counted from 0; a function of its arguments alone.

    Each epoch is a shuffle of its own; its last batch may be smaller.
    """
    steps_per_epoch = num_steps(num_examples, batch_size=batch_size, num_epochs=1)
    epoch, place = divmod(step, steps_per_epoch)
    order = list(range(num_examples))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order[place * batch_size : (place + 1) * batch_size]


def num_steps(num_examples: int, *, batch_size: int, num_epochs: int) -> int:
    """Return the optimizer steps in all."""
    return num_epochs * -(-num_examples // batch_size)


def share_of(places: Sequence[int], *, rank: int, num_workers: int) -> list[int]:
    """Return the part of a batch, or of a split, that one worker computes; the parts differ by one at most."""
    return list(places[rank::num_workers])


def _parse(line: bytes, number: int) -> tuple[str, Example]:
    try:
        row = json.loads(line)
        messages = tuple(_message(item) for item in row["messages"])
        split = str(row["split"])
        if split not in ("train", "validation"):
            raise KeyError("split")
        example = Example(
            example_id=str(row.get("example_id", number)),
            messages=messages,
            profile_id=str(row.get("profile_id", "")),
            case=row.get("case"),
            tools=tuple(dict(tool) for tool in row.get("tools") or ()),
            line=number,
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadExampleError(f"Line {number} of the dataset is not an example: {type(error).__name__}.") from error
    return split, example


def _message(item: dict[str, Any]) -> dict[str, Any]:
    # An answer that is nothing but calls may have no text.
    message: dict[str, Any] = {"role": str(item["role"]), "content": str(item.get("content") or "")}
    if calls := item.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in calls]
    elif "content" not in item:
        raise KeyError("content")
    if "tool_call_id" in item:
        message["tool_call_id"] = str(item["tool_call_id"])
    return message


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": str(call["function"]["name"]), "arguments": str(call["function"]["arguments"])}
    return {"id": str(call.get("id", "")), "type": "function", "function": function}
