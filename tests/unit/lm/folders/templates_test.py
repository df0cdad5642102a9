"""Chat templates by name are found where transformers finds them, and chosen as it chooses."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from services.lm.chat import encode_example, encode_prompt, render
from services.lm.errors import InvalidChat, InvalidModelFile
from services.lm.folders import folder_digest
from services.lm.folders.templates import read_templates, template_digest
from services.lm.folders.tokenizer import load_tokenizer
from services.lm.loading import load
from services.lm.tiny import write_tiny_model

DEFAULT = "{% for m in messages %}<|im_start|>{{ m.role + ':' + m.content }}<|im_end|>{% endfor %}"
TOOL_USE = "{{ tools | tojson }}" + DEFAULT
NAMED = [{"name": "default", "template": DEFAULT}, {"name": "tool_use", "template": TOOL_USE}]
QUESTION = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    return tmp_path / "model"


def in_settings(folder: Path, value: Any = NAMED, name: str = "tokenizer_config.json") -> None:
    file = folder / name
    settings = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(settings | {"chat_template": value}))


def in_files(folder: Path, default: str = DEFAULT, tool_use: str = TOOL_USE) -> None:
    (folder / "chat_template.jinja").write_text(default)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(tool_use)


@pytest.mark.parametrize("place", [in_settings, in_files])
def test_functions_choose_tool_use_and_nothing_else_does(folder: Path, place: Any) -> None:
    place(folder)
    tokenizer = load_tokenizer(folder)
    reference = PreTrainedTokenizerFast.from_pretrained(folder)
    for tools in ([], TOOLS):
        expected = reference.apply_chat_template(QUESTION, tools=tools or None, tokenize=False)
        assert render(tokenizer, QUESTION, tools=tools) == expected
    assert "read_file" in render(tokenizer, QUESTION, tools=TOOLS)
    assert len(encode_prompt(tokenizer, QUESTION, tools=TOOLS)) > len(encode_prompt(tokenizer, QUESTION)) + 50


@pytest.mark.parametrize("place", [in_settings, in_files])
def test_training_sees_the_prompt_that_generation_sees(folder: Path, place: Any) -> None:
    place(folder)
    tokenizer = load_tokenizer(folder)
    example = encode_example(tokenizer, [*QUESTION, {"role": "assistant", "content": "Yes"}], tools=TOOLS)
    assert list(example.ids[: example.spans[0][0]]) == encode_prompt(tokenizer, QUESTION, tools=TOOLS)


def test_files_come_before_settings_and_a_processors_file_last(folder: Path) -> None:
    in_settings(folder, "of a processor", "chat_template.json")
    assert read_templates(folder) == "of a processor"
    in_settings(folder, "of the settings")
    assert read_templates(folder) == "of the settings"
    in_files(folder, "of a file")
    assert read_templates(folder) == {"default": "of a file", "tool_use": TOOL_USE}


def test_a_name_that_is_missing_is_told_with_those_that_are_there(folder: Path) -> None:
    in_settings(folder, NAMED[1:])
    tokenizer = load_tokenizer(folder)
    assert "read_file" in render(tokenizer, QUESTION, tools=TOOLS)
    with pytest.raises(InvalidChat, match="tool_use"):
        render(tokenizer, QUESTION)


def test_digests_cover_every_template(folder: Path) -> None:
    in_files(folder)
    before = load(folder)
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOL_USE + " ")
    after = load(folder)
    assert before.chat_template_digest != after.chat_template_digest
    assert before.digest != after.digest
    assert folder_digest(folder) == after.digest


def test_one_template_has_the_same_digest_with_and_without_its_name() -> None:
    assert template_digest({"default": "x"}) == template_digest("x") != template_digest({"other": "x"})
    assert template_digest(None) == template_digest("")


@pytest.mark.parametrize(
    "value",
    [
        7,
        [],
        {},
        ["x"],
        [{"name": "default"}],
        [{"name": 1, "template": "x"}],
        [{"name": "default", "template": ["x"]}],
        [{"name": f"n{number}", "template": "x"} for number in range(100)],
        [{"name": "a\nb", "template": "x"}],
        "x" * (1 << 21),
    ],
)
def test_templates_that_are_none_are_refused(folder: Path, value: object) -> None:
    in_settings(folder, value)
    with pytest.raises(InvalidModelFile):
        load_tokenizer(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (2 << 20)])
def test_a_template_file_that_is_no_text_or_too_large_is_refused(folder: Path, content: bytes) -> None:
    in_files(folder)
    (folder / "additional_chat_templates" / "tool_use.jinja").write_bytes(content)
    with pytest.raises(InvalidModelFile):
        load_tokenizer(folder)
