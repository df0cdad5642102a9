"""What of a row is trained, token by token."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from services.lm.chat import encode_prompt
from services.lm.folders.tokenizer import load_tokenizer
from services.lm.tiny import CHATML, write_tiny_model
from services.protocols.suites.dataset_row import DatasetRow, RowError
from services.trainer.training.encoding import EncodedRow, encode_one

EOS = frozenset({2})
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "First."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "Second."},
]
# Earlier answers lose what they begin with, as thoughts do in templates of models that think.
SHORTENING = CHATML.replace(
    "message['content']",
    "(message['content'][3:] if message.role == 'assistant' and not loop.last else message['content'])",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("encoding") / "tiny"
    write_tiny_model(folder)
    return load_tokenizer(folder)


def encoded(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], **fields: Any) -> EncodedRow:
    row = DatasetRow.from_json({"messages": messages, **fields}, 1)
    return encode_one(tokenizer, row, eos_ids=EOS, max_tokens=10_000)


def trained_texts(tokenizer: PreTrainedTokenizerBase, row: EncodedRow) -> list[list[str]]:
    return [
        [tokenizer.decode(list(sequence.ids[start:end])) for start, end in sequence.spans] for sequence in row.sequences
    ]


def test_every_answer_of_a_conversation_is_trained_behind_the_prompt_it_is_asked_with(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    row = encoded(tokenizer, CONVERSATION)
    assert trained_texts(tokenizer, row) == [["First.<|im_end|>", "Second.<|im_end|>"]]
    (sequence,) = row.sequences
    for (start, _), turn in zip(sequence.spans, (2, 4), strict=True):
        assert list(sequence.ids[:start]) == encode_prompt(tokenizer, CONVERSATION[:turn])


def test_a_template_that_changes_earlier_answers_makes_a_sequence_of_each(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", SHORTENING)
    row = encoded(tokenizer, CONVERSATION)
    assert trained_texts(tokenizer, row) == [["First.<|im_end|>"], ["Second.<|im_end|>"]]
    assert "st.<|im_end|>" in tokenizer.decode(list(row.sequences[1].ids))
    assert "First." not in tokenizer.decode(list(row.sequences[1].ids))


def test_of_a_row_with_a_case_the_answer_alone_is_trained(tokenizer: PreTrainedTokenizerBase) -> None:
    assert trained_texts(tokenizer, encoded(tokenizer, CONVERSATION, case={})) == [["Second.<|im_end|>"]]


@pytest.mark.parametrize(
    ("weights", "case", "texts"), [((0, 1), None, ["Second."]), ((1, 1), {}, ["First.", "Second."])]
)
def test_a_message_says_by_its_weight_whether_it_is_trained(
    tokenizer: PreTrainedTokenizerBase, weights: tuple[int, int], case: Any, texts: list[str]
) -> None:
    messages = [dict(message) for message in CONVERSATION]
    messages[2]["weight"], messages[4]["weight"] = weights
    row = encoded(tokenizer, messages, **({} if case is None else {"case": case}))
    assert trained_texts(tokenizer, row) == [[f"{text}<|im_end|>" for text in texts]]
    assert DatasetRow.from_json(row.row.to_json(), 1) == row.row


@pytest.mark.parametrize(("place", "weight"), [(2, 2), (2, "1"), (1, 1)])
def test_a_weight_that_means_nothing_is_refused(place: int, weight: Any) -> None:
    messages = [dict(message) for message in CONVERSATION]
    messages[place]["weight"] = weight
    with pytest.raises(RowError, match=rf"messages\[{place}\]"):
        DatasetRow.from_json({"messages": messages}, 1)
