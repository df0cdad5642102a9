"""The examples of a dataset version, and the order in which they are trained."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.protocols.cases import Case
from services.protocols.suites.dataset_row import MAX_ROW_BYTES, SPLITS, DatasetRow, RowError


class BadExampleError(ValueError):
    """A row of the dataset cannot be used; the text names its line."""


@dataclass(frozen=True)
class Dataset:
    """The two splits, in the file's order."""

    train: tuple[DatasetRow, ...]
    validation: tuple[DatasetRow, ...]


def read_dataset(path: Path) -> Dataset:
    """Return the examples in a JSONL file.

    Raises:
        BadExampleError: A line is too long or no example, or there is no example to train on.
    """
    splits: dict[str, list[DatasetRow]] = {split: [] for split in SPLITS}
    for row in read_rows(path):
        splits[row.split].append(row)
    if not splits["train"]:
        raise BadExampleError("The dataset has no example in its train split.")
    return Dataset(tuple(splits["train"]), tuple(splits["validation"]))


def read_rows(path: Path) -> Iterator[DatasetRow]:
    """Yield the examples in a JSONL file.

    Raises:
        BadExampleError: A line is too long or no example.
    """
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_ROW_BYTES + 1):
            number += 1
            if len(line) > MAX_ROW_BYTES:
                raise BadExampleError(f"Line {number} of the dataset is longer than {MAX_ROW_BYTES} bytes.")
            if line.strip():
                yield row_of_line(line, number)


def batch_of(step: int, *, num_examples: int, batch_size: int, seed: int) -> list[int]:
    """Return the places of the examples of one optimizer step, counted from 0; a function of its arguments alone.

    Each epoch is a shuffle of its own; its last batch may be smaller.
    """
    steps_per_epoch = num_steps(num_examples, batch_size=batch_size, num_epochs=1)
    epoch, place = divmod(step, steps_per_epoch)
    order = order_of(epoch, num_examples=num_examples, seed=seed)
    return order[place * batch_size : (place + 1) * batch_size]


def order_of(epoch: int, *, num_examples: int, seed: int) -> list[int]:
    """Return the order of an epoch, counted from 0: the places of all examples, shuffled."""
    order = list(range(num_examples))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def num_steps(num_examples: int, *, batch_size: int, num_epochs: int) -> int:
    """Return the optimizer steps in all."""
    return num_epochs * -(-num_examples // batch_size)


def share_of(places: Sequence[int], *, rank: int, num_workers: int) -> list[int]:
    """Return the part of a batch, or of a split, that one worker computes; the parts differ by one at most."""
    return list(places[rank::num_workers])


def row_of_line(line: bytes, number: int) -> DatasetRow:
    """Return the example that a line of a dataset holds.

    Raises:
        BadExampleError: It holds none; the error names the line.
    """
    try:
        return DatasetRow.from_json(json.loads(line), number)
    except RowError as error:
        raise BadExampleError(f"Line {number} of the dataset {error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadExampleError(f"Line {number} of the dataset is not JSON.") from error


def begins(row: DatasetRow, case: Case) -> bool:
    """Whether a row asks for its case's first answer, and not for one that its client's session comes to later."""
    num_answers = sum(message["role"] == "assistant" for message in row.prompt)
    return num_answers <= len(case.history) or not plays_session(case)


def plays_session(case: Case) -> bool:
    """Whether a case is a task of several answers."""
    return case.max_turns > 1 or case.goal is not None
