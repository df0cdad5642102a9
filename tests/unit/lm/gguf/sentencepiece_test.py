"""Vocabularies of SentencePiece, both ways: the ids of the folder's tokenizer, and its blanks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from services.lm.conversion.families import plan_gguf
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile
from tests.unit.lm.gguf.folders import SCORED, write_folder, write_plan, write_sentencepiece
from tests.unit.lm.gguf.models import weights, write

TEXTS = [
    "the theme of the thesis is there",
    "  two  blanks\n\nand\ttabs   \n\n\n     x",
    "<s>the end</s> the  <|user|> the\n<|user|>the",
    "漢字 é 😀 İ",
    "don't 1234 x▁y",
    "",
]


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def imported(folder: Path, out: Path) -> tuple[Tokenizer, list[str]]:
    plan = plan_gguf(folder)
    convert_gguf(write_plan(plan, folder / "model.safetensors", out.with_suffix(".gguf")), out)
    return Tokenizer.from_file(str(out / "tokenizer.json")), plan.notes


@pytest.mark.parametrize(("blank", "strips"), [("always", False), ("never", False), ("always", True)])
def test_ids_survive_the_way_out_and_in(tmp_path: Path, blank: str, strips: bool) -> None:
    write_folder(tmp_path / "folder", "llama", vocab_size=SCORED)
    theirs = write_sentencepiece(tmp_path / "folder", blank, strips=strips)
    ours, notes = imported(tmp_path / "folder", tmp_path / "out")
    assert [ids_of(ours, text) for text in TEXTS] == [ids_of(theirs, text) for text in TEXTS]
    assert ours.encode("the").ids == theirs.encode("the").ids
    assert [ours.decode(ids_of(ours, text)) for text in TEXTS] == [
        theirs.decode(ids_of(theirs, text)) for text in TEXTS
    ]
    assert notes == []


def test_a_blank_before_the_first_word_alone_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "llama", vocab_size=SCORED)
    theirs = write_sentencepiece(tmp_path / "folder", "first")
    ours, notes = imported(tmp_path / "folder", tmp_path / "out")
    assert ids_of(ours, "<s>the end</s> the") == ids_of(theirs, "<s>the end</s> the")
    assert len(notes) == 1
    assert "begins with no special token" in notes[0]


def test_a_list_of_merges_that_scores_cannot_say_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "llama", vocab_size=SCORED)
    content = json.loads(write_sentencepiece(tmp_path / "folder", "always").to_str())
    content["model"]["merges"].remove(["th", "e"])
    (tmp_path / "folder/tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InvalidModelFile, match="joins other pairs"):
        plan_gguf(tmp_path / "folder")


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"tokenizer.ggml.scores": None}, "one score per token"),
        ({"tokenizer.ggml.scores": [0.0] * 261}, "byte has no token"),
    ],
)
def test_a_vocabulary_without_scores_or_bytes_is_refused(tmp_path: Path, facts: dict[str, Any], problem: str) -> None:
    file = write(tmp_path / "m.gguf", facts=facts | {"tokenizer.ggml.model": "llama"}, tensors=weights())
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(file)
