"""An answer is trained, and read, by the tokens that it has behind its prompt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from services.lm.chat import encode_behind, encode_example, encode_prompt, encode_text, render
from services.lm.errors import InvalidChat
from services.lm.folders.tokenizer import load_tokenizer
from services.lm.generation.requests import GenerationRequest
from services.lm.generation.scores import token_texts
from services.lm.generation.sequence import SequenceState
from tests.unit.lm.folders.small_tokenizers import byte_level, sentencepiece_like, write

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
SPECIAL_BEFORE = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content + '<|im_start|>' }}{% else %}"
    "{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
ANSWERS = ("<read_file>\n<path>a</path>", "def a", " a", "  a\n    b", "\n\n1", "1", "é 漢", "▁a")


def metaspace(scheme: str) -> Callable[[], Tokenizer]:
    def make() -> Tokenizer:
        tokenizer = sentencepiece_like()
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        return tokenizer

    return make


def prefixed() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


MARKING: list[Callable[[], Tokenizer]] = [sentencepiece_like, metaspace("first"), metaspace("always"), prefixed]


def loaded(path: Path, make: Callable[[], Tokenizer], template: str = TEMPLATE) -> Any:
    return load_tokenizer(write(path / "m", make(), chat_template=template))


def messages_of(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "a b"}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize("template", [TEMPLATE, SPECIAL_BEFORE])
@pytest.mark.parametrize("make", MARKING)
def test_trained_tokens_are_those_of_the_whole_text(tmp_path: Path, make: Any, template: str) -> None:
    tokenizer = loaded(tmp_path, make, template)
    for answer in ANSWERS:
        messages = messages_of(answer)
        whole = encode_text(tokenizer, render(tokenizer, messages, asks=False))
        if make is prefixed and answer.startswith("\n"):
            # Its line ends are one token with the prompt's own, see below.
            continue
        example = encode_example(tokenizer, messages)
        prompt = encode_prompt(tokenizer, messages[:1])
        assert list(example.ids[: example.spans[0][0]]) == prompt
        assert list(example.ids) == whole[: len(example.ids)], answer
        assert example.ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("make", [*MARKING, byte_level])
def test_what_a_model_writes_reads_as_it_was_trained(tmp_path: Path, make: Any) -> None:
    tokenizer = loaded(tmp_path, make)
    for answer in ANSWERS:
        example = encode_example(tokenizer, messages_of(answer))
        request = GenerationRequest("k", example.ids[: example.spans[0][0]], 99)
        for follows_text in (True, False):
            writing = SequenceState(request, tokenizer, {tokenizer.eos_token_id}, follows_text=follows_text)
            for token in example.ids[example.spans[0][0] :]:
                writing.take([token], [])
            expected = answer.replace("▁", " ") if make is not byte_level and make is not prefixed else answer
            assert writing.result().text == expected


@pytest.mark.parametrize("make", [*MARKING, byte_level])
def test_the_texts_of_tokens_join_to_the_text(tmp_path: Path, make: Any) -> None:
    tokenizer = loaded(tmp_path, make)
    text = "def  a\n    b<|im_end|>"
    texts = token_texts(tokenizer, encode_text(tokenizer, text))
    assert "".join(texts) in ({text, " " + text} if make in MARKING else {text})
    assert texts[-1] == "<|im_end|>"


def test_without_the_habit_an_answer_is_encoded_by_itself(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, byte_level)
    for answer in ANSWERS:
        prompt = render(tokenizer, messages_of(answer)[:1])
        text = render(tokenizer, messages_of(answer), asks=False)[len(prompt) :]
        assert encode_behind(tokenizer, prompt, text) == (
            encode_text(tokenizer, prompt),
            encode_text(tokenizer, text),
        )


def test_tokens_across_the_border_are_parted_where_generation_parts_them(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, sentencepiece_like)
    prompt, answer = encode_behind(tokenizer, "a\nd", "ef")
    assert prompt == encode_text(tokenizer, "a\nd")
    assert [*prompt, *answer] != encode_text(tokenizer, "a\ndef")
    assert tokenizer.decode([*prompt, *answer]) == "a\ndef"
    assert tokenizer.convert_ids_to_tokens(answer) == ["e", "f"]
    tokenizer = loaded(tmp_path, prefixed)
    prompt, answer = encode_behind(tokenizer, "a\n", "\n\n1")
    assert prompt == encode_text(tokenizer, "a\n")
    assert tokenizer.convert_ids_to_tokens(answer) == ["Ċ", "Ċ", "1"]


def test_a_tokenizer_that_lets_no_border_be_is_refused(tmp_path: Path) -> None:
    def words() -> Tokenizer:
        tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "xa": 2, "_a": 3}, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace("_xa", "xa")])
        tokenizer.decoder = decoders.Fuse()
        return tokenizer

    tokenizer = loaded(tmp_path, words)
    with pytest.raises(InvalidChat, match="together"):
        encode_behind(tokenizer, "x", "a")
