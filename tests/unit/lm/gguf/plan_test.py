"""What a GGUF file is written from: complete metadata, and a clear refusal of what it could not express."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from services.lm.conversion.families import plan_gguf
from services.lm.conversion.vocabulary.comparison import splitting_name
from services.lm.conversion.vocabulary.pre_tokenizers import splitting_rule
from services.lm.conversion.vocabulary.tokenizer import splitter
from services.lm.errors import InvalidModelFile
from tests.unit.lm.gguf.folders import write_folder
from tests.unit.lm.gguf.vocabulary_test import PIECES, TEXT, tokenizer_of

BY_NAME = dict[str, Any]


def metadata_of(folder: Path) -> BY_NAME:
    return {key: value for key, value, _ in plan_gguf(folder).metadata}


def change(file: Path, **entries: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | entries), encoding="utf-8")


def test_metadata_are_complete(tmp_path: Path) -> None:
    write_folder(tmp_path / "tiny", "llama", eos_token_id=[2, 7])
    change(tmp_path / "tiny/generation_config.json", eos_token_id=[2, 7, 0])
    (tmp_path / "tiny/additional_chat_templates").mkdir()
    (tmp_path / "tiny/additional_chat_templates/tool_use.jinja").write_text("tools")
    metadata = metadata_of(tmp_path / "tiny")
    expected = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "tiny",
        "llama.block_count": 2,
        "llama.context_length": 256,
        "llama.vocab_size": 260,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        # What also ends an answer, and is not found by its text as <|endoftext|> is.
        "tokenizer.ggml.eot_token_id": 7,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.chat_template.tool_use": "tools",
        "tokenizer.chat_templates": ["tool_use"],
    }
    assert {key: metadata.get(key) for key in expected} == expected
    assert metadata["tokenizer.chat_template"].startswith("{% for message in messages %}")
    assert (metadata["tokenizer.ggml.tokens"][259], metadata["tokenizer.ggml.token_type"][259]) == ("[PAD259]", 5)
    assert metadata["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]


def rename(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.extra.weight"] = weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors")


def cut(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"][:8].clone()
    save_file(weights, folder / "model.safetensors")


def set_entries(**entries: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", **entries)


def flatten(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][0, 0].clone()
    save_file(weights, folder / "model.safetensors")


def quantise(folder: Path) -> None:
    change(folder / "config.json", quantization_config={"quant_method": "gptq"})


def rename_family(folder: Path) -> None:
    change(folder / "config.json", model_type="mamba2")


def split_otherwise(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(content))


REFUSALS: dict[str, tuple[str, dict[str, Any], Callable[[Path], None] | None, str]] = {
    "an architecture": ("gpt_neox", {}, None, "'gpt_neox' is not converted from or to GGUF: .* llama, mistral, qwen2"),
    "a family of state spaces": ("llama", {}, rename_family, "'mamba2' is not converted from or to GGUF: it has state"),
    "a Falcon of 40B": ("falcon", {"new_decoder_architecture": True}, None, "num_ln_in_parallel_attn 2"),
    "a quantised model": ("llama", {}, quantise, "quantised"),
    "an activation": ("llama", {"hidden_act": "gelu"}, None, "hidden_act gelu"),
    "a window": ("qwen2", {"use_sliding_window": True, "sliding_window": 64}, None, "use_sliding_window True"),
    "biases": ("qwen3", {"attention_bias": True}, None, "attention_bias True"),
    "a scale of queries": ("gemma2", {"query_pre_attn_scalar": 144, "head_dim": 16}, None, "query_pre_attn_scalar 144"),
    "windows elsewhere": (
        "olmo3",
        {"layer_types": ["full_attention", "sliding_attention"]},
        None,
        "Other layers have windows",
    ),
    "uncapped scores": (
        "gemma2",
        {"attn_logit_softcapping": None, "head_dim": 16, "query_pre_attn_scalar": 16},
        None,
        "no attn_logit_softcapping",
    ),
    "layers that turn": ("smollm3", {"no_rope_layers": [1, 0]}, None, "no_rope_layers"),
    "dynamic positions": ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, None, "'dynamic'"),
    "bounds of a yarn": (
        "llama",
        {
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 2.0,
                "beta_fast": 8.0,
                "original_max_position_embeddings": 64,
            }
        },
        None,
        "bounds of its own",
    ),
    "a head beside ties": (
        "gemma2",
        {"tie_word_embeddings": False, "head_dim": 16, "query_pre_attn_scalar": 16},
        None,
        "a head of its own",
    ),
    "a missing tensor": ("llama", {}, rename, r"model\.norm\.weight.*missing"),
    "a shape": ("llama", {}, cut, r"\(8,\), the configuration asks for \(64,\)"),
    "no heads": ("gpt2", {}, set_entries(n_head=0), "no layers, no heads"),
    "heads that do not divide": ("bloom", {}, set_entries(n_head=7), "do not fit"),
    "words for a number": ("llama", {}, set_entries(num_hidden_layers="two"), "class cannot have .*num_hidden_layers"),
    "a size that no class declares": ("mamba", {}, set_entries(intermediate_size=[]), r"intermediate_size is \[\], no"),
    "positions below none": ("lfm2", {}, set_entries(max_position_embeddings=-1), "max_position_embeddings is -1, no"),
    "kinds for other layers": ("lfm2", {}, set_entries(layer_types=["conv"]), "class cannot have .*layer_types"),
    "a thousand million experts": ("minimax_m2", {}, set_entries(num_local_experts=10**9), "1000000000 experts"),
    "embeddings without rows": ("llama", {}, flatten, "the embeddings have 0 rows"),
    "too many tokens": ("llama", {"vocab_size": 250}, None, "the id 258, the embeddings have 250 rows"),
    "a rule of splitting": ("llama", {}, split_otherwise, "rule that llama.cpp does not have"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_file_could_not_express_is_refused_with_what_can_be_done(tmp_path: Path, case: str) -> None:
    model_type, settings, damage, problem = REFUSALS[case]
    write_folder(tmp_path / "folder", model_type, **settings)
    if damage:
        damage(tmp_path / "folder")
    with pytest.raises(InvalidModelFile, match=problem) as refusal:
        plan_gguf(tmp_path / "folder")
    assert refusal.value.next_step


def test_a_window_that_llama_cpp_does_not_know_ends_the_context_and_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "mistral", sliding_window=100)
    plan = plan_gguf(tmp_path / "folder")
    assert {key: value for key, value, _ in plan.metadata}["llama.context_length"] == 100
    assert len(plan.notes) == 1
    assert "last 100 tokens" in plan.notes[0]


def test_texts_that_are_normalised_first_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", "qwen2")
    tokenizer = Tokenizer.from_file(str(tmp_path / "folder/tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(tmp_path / "folder/tokenizer.json"))
    assert [note for note in plan_gguf(tmp_path / "folder").notes if "normalises" in note]


@pytest.mark.parametrize("name", PIECES)
def test_each_rule_of_splitting_is_found_again(tmp_path: Path, name: str) -> None:
    tokenizer = tokenizer_of(tmp_path, tokenizer__ggml__pre=name)
    name_of_rule = splitting_name(tokenizer, whole_words_first=bool(tokenizer.model.ignore_merges))
    rule = splitting_rule(name_of_rule)
    assert rule.whole_words_first == tokenizer.model.ignore_merges
    spans = [span for _, span in splitter(rule.patterns).pre_tokenize_str(TEXT)]
    assert "|".join(TEXT[start:end] for start, end in spans) == PIECES[name]


LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{LETTERS}*{SMALL}+{ENDS}?|[^\r\n\p{{L}}\p{{N}}]?{LETTERS}+{SMALL}*{ENDS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    ("patterns", "use_regex", "name"),
    [
        ([], True, "gpt-2"),
        ([r"\p{N}"], True, "smollm"),
        ([rf"{ENDS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}"], False, "dbrx"),
        ([rf"{ENDS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}"], False, "qwen2"),
        # Marks on letters are a part of a word to the tokenizer and not to llama.cpp.
        ([CASED], False, "gpt-4o"),
        (["a+"], False, ""),
    ],
)
def test_the_patterns_of_tokenizers_files_are_known(patterns: list[str], use_regex: bool, name: str) -> None:
    tokenizer = Tokenizer(BPE())
    splits: list[Any] = [Split(Regex(pattern), "isolated") for pattern in patterns]
    tokenizer.pre_tokenizer = Sequence([*splits, ByteLevel(add_prefix_space=False, use_regex=use_regex)])
    assert splitting_name(tokenizer, whole_words_first=False) == name
