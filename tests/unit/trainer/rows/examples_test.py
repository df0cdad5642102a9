"""Reading examples, and the order in which they are trained."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from services.trainer.training.examples import BadExampleError, batch_of, num_steps, read_dataset, share_of
from services.trainer.training.optimizer import learning_rate
from tests.unit.trainer.training_bench import dataset_rows

GOOD = json.dumps(dataset_rows(1)[0])


def test_both_splits_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = dataset_rows(3)
    rows[1]["split"] = "validation"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = read_dataset(path)
    assert [item.example_id for item in dataset.train] == ["e0", "e2"]
    assert [item.example_id for item in dataset.validation] == ["e1"]
    assert dataset.train[0].messages[-1]["role"] == "assistant"


def test_a_byte_order_mark_and_blank_lines_are_no_examples(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\ufeff{GOOD}\r\n\r\n{GOOD}\n \n", encoding="utf-8", newline="")
    assert [item.example_id for item in read_dataset(path).train] == ["e0", "e0"]


def test_calls_and_the_functions_beside_them_are_kept(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "read_file", "parameters": {}}}
    result = {"role": "tool", "content": "1 | x", "tool_call_id": "c1"}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [answer, result, answer], "tools": [tool], "split": "train"}) + "\n")
    (example,) = read_dataset(path).train
    assert example.tools == (tool,)
    assert example.messages == ({**answer, "content": ""}, result, {**answer, "content": ""})


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"\xff",
        b'{"split": "train"}',
        b'{"split": "train", "messages": [{"role": "user"}]}',
        b'{"split": "train", "messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}]}',
        b'{"split": "test", "messages": []}',
        b'{"messages": [{"role": "assistant", "content": "y"}, {"role": "user", "content": "x"}]}',
        b'{"split": "train", "messages": "' + b"x" * (1 << 20) + b'"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + line + b"\n")
    with pytest.raises(BadExampleError, match="Line 2 of the dataset"):
        read_dataset(path)


def test_a_dataset_without_a_train_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("")
    with pytest.raises(BadExampleError, match="no example in its train split"):
        read_dataset(path)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(10, 3), (9, 3), (1, 16), (17, 16)])
def test_each_epoch_trains_every_example_once_in_an_order_of_its_own(num_examples: int, batch_size: int) -> None:
    total = num_steps(num_examples, batch_size=batch_size, num_epochs=2)
    batches = [batch_of(step, num_examples=num_examples, batch_size=batch_size, seed=1) for step in range(total)]
    epochs = [list(chain(*batches[: total // 2])), list(chain(*batches[total // 2 :]))]
    assert all(sorted(epoch) == list(range(num_examples)) for epoch in epochs)
    assert num_examples < 9 or epochs[0] != epochs[1]
    assert batches == [
        batch_of(step, num_examples=num_examples, batch_size=batch_size, seed=1) for step in range(total)
    ]


def test_the_seed_decides_the_order() -> None:
    orders = {tuple(batch_of(0, num_examples=50, batch_size=50, seed=seed)) for seed in range(5)}
    assert len(orders) == 5


@pytest.mark.parametrize("num_workers", [1, 2, 3, 7])
def test_the_workers_share_a_batch_without_gap_or_overlap(num_workers: int) -> None:
    shares = [share_of(range(5), rank=rank, num_workers=num_workers) for rank in range(num_workers)]
    assert sorted(chain(*shares)) == list(range(5))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_rate_rises_to_its_peak_and_falls_towards_zero() -> None:
    rates = [learning_rate(step, num_steps=20, peak=1.0, warmup_ratio=0.2) for step in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True) and 0 < rates[-1] < 0.02


def test_one_step_without_warm_up_has_the_peak_rate() -> None:
    assert learning_rate(0, num_steps=1, peak=1.0, warmup_ratio=0.0) == 1.0
