"""Whatever class the settings name, a folder's tokenizer gives the ids that its `tokenizer.json` gives."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from services.lm.errors import InvalidModelFile
from services.lm.folders.tokenizer import left_out, load_tokenizer
from tests.unit.lm.folders.small_tokenizers import byte_level, sentencepiece_like, write

TEXTS = (
    "Steps:\n\n1. Open",
    "    42 | def f():\n   1234 | \treturn 'it\\'s'",
    " a  b   c \n\n\n d ",
    "Größe 漢字 \U0001f600 e\u0301 №½",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "x</s>\n\n<s> y",
)
CLASSES = sorted({name for name in TOKENIZER_MAPPING_NAMES.values() if name} | {"PreTrainedTokenizerFast", "NoSuch"})


def ids_of_file(folder: Path, text: str, *, with_special: bool = False) -> list[int]:
    return Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=with_special).ids


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like])
def test_ids_are_those_of_the_file_for_every_class(tmp_path: Path, make: Any) -> None:
    folder = write(tmp_path / "m", make())
    expected = [ids_of_file(folder, text) for text in TEXTS]
    assert len(CLASSES) > 50
    for name in CLASSES:
        settings = {"tokenizer_class": name, "add_prefix_space": True, "add_bos_token": True, "legacy": False}
        tokenizer = load_tokenizer(write(folder, make(), **settings))
        assert [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS] == expected, name
        assert tokenizer.encode("a", add_special_tokens=True) == ids_of_file(folder, "a", with_special=True), name
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)


@pytest.mark.parametrize(
    ("settings", "config", "expected"),
    [
        ({"tokenizer_class": "LlamaTokenizer"}, {}, ("<s>", "</s>")),
        ({"tokenizer_class": "LlamaTokenizerFast", "eos_token": "<|im_end|>"}, {}, ("<s>", "<|im_end|>")),
        ({"tokenizer_class": "LlamaTokenizer", "bos_token": None}, {}, (None, "</s>")),
        ({"tokenizer_class": "GPT2Tokenizer"}, {}, (None, None)),
        ({}, {"tokenizer_class": "LlamaTokenizer"}, ("<s>", "</s>")),
        ({}, {"model_type": "llama"}, (None, None)),
        ({}, {"model_type": "roberta"}, ("<s>", "</s>")),
        ({"tokenizer_class": "os"}, {}, (None, None)),
    ],
)
def test_roles_that_the_settings_leave_out_are_those_of_the_class(
    tmp_path: Path, settings: dict[str, Any], config: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    folder = write(tmp_path / "m", byte_level())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.bos_token, tokenizer.eos_token) == expected
    assert left_out(folder, tokenizer) == []


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer", "RobertaTokenizer", "GPTNeoXTokenizer"])
def test_transformers_own_class_would_give_other_ids(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "m", byte_level(), tokenizer_class=name)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    other = AutoTokenizer.from_pretrained(folder)
    assert [other.encode(text, add_special_tokens=False) for text in TEXTS] != [
        ids_of_file(folder, text) for text in TEXTS
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"split_special_tokens": True},
        {"clean_up_tokenization_spaces": True},
        {"padding_side": "left", "model_max_length": 4, "truncation_side": "left"},
        {"fast_tokenizer_files": ["tokenizer.4.0.json"]},
        {"tokenizer_file": "/etc/passwd", "vocab_file": "/etc/passwd"},
        {"pad_token": "[PAD]", "mask_token": {"content": "[MASK]", "lstrip": True, "__type": "AddedToken"}},
        {"extra_special_tokens": {"image_token": "<image>", "boi_token": "<s>"}},
        {"additional_special_tokens": ["<|im_start|>", "<never>"]},
        {"added_tokens_decoder": {"3": {"content": "<|im_start|>", "special": False, "rstrip": True}}},
    ],
)
def test_settings_add_nothing_to_the_file(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write(tmp_path / "m", byte_level(), **settings)
    tokenizer = load_tokenizer(folder)
    texts = (*TEXTS, "[PAD]<image>[MASK]<never> <|im_start|>  a ,b")
    for text in texts:
        ids = ids_of_file(folder, text)
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == Tokenizer.from_file(str(folder / "tokenizer.json")).decode(
            ids, skip_special_tokens=False
        )


def test_truncation_and_padding_in_the_file_shorten_nothing(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8)
    folder = write(tmp_path / "m", tokenizer)
    assert len(load_tokenizer(folder).encode("abcdefgh" * 3, add_special_tokens=False)) > 8


def test_names_of_roles_reach_the_template(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", byte_level(), boi_token="<|im_start|>", chat_template="{{ boi_token + eos_token }}")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False) == "<|im_start|></s>"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", {"eos_token": "<|absent|>"}),
        ("tokenizer_config.json", {"bos_token": {"content": "<|absent|>", "__type": "AddedToken"}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"900": {"content": "<|absent|>"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"4": {"content": "<|im_start|>"}}}),
        ("added_tokens.json", {"<|absent|>": 900}),
        ("special_tokens_map.json", {"eos_token": {"content": "<|absent|>"}}),
    ],
)
def test_a_token_that_the_file_needs_and_lacks_is_named(tmp_path: Path, name: str, content: dict[str, Any]) -> None:
    folder = write(tmp_path / "m", byte_level())
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(InvalidModelFile, match=r"<\|(absent|im_start)\|>") as refusal:
        load_tokenizer(folder)
    assert "tokenizer.json" in refusal.value.problem + refusal.value.next_step


def test_what_the_settings_say_otherwise_is_told(tmp_path: Path) -> None:
    described = {"3": {"content": "<|im_start|>", "special": False}, "4": {"content": "<|im_end|>", "special": True}}
    folder = write(tmp_path / "m", byte_level(), pad_token="[PAD]", sep_token="a", added_tokens_decoder=described)
    absent, plain, changed = left_out(folder, load_tokenizer(folder))
    assert "'[PAD]'" in absent
    assert "'a'" in plain
    assert "'<|im_start|>'" in changed


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b'{"version": "1.0"}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path / "m", byte_level())
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(InvalidModelFile, match="cannot be loaded"):
        load_tokenizer(folder)
