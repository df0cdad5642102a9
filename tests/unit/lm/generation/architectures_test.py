"""Other architectures than Llama's: their own layers compute, and the answers are those of transformers' `generate`."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm import prefix
from services.lm.decoder.packed import PackedDecoder
from services.lm.generation.engine import Engine
from services.lm.generation.forward import TransformersForward, forward_of
from services.lm.generation.requests import GenerationRequest, ResultOptions
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model

SMALL: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 258,
    "pad_token_id": 0,
}
# A mixture, and queries of another form than the values have.
MIXED: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "n_shared_experts": 1,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "first_k_dense_replace": 1,
    "block_size": 16,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": {"model_type": "llama", "attention_bias": True},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma3_text": {"sliding_window": 400, "sliding_window_pattern": 2},
    "phi": {"partial_rotary_factor": 0.5},
    "phi3": {"sliding_window": None},
    "gpt2": {"num_key_value_heads": None, "n_positions": 512},
    "deepseek_v2": MIXED | {"v_head_dim": 16},
}
ALONE: dict[str, tuple[dict[str, Any], str]] = {
    "gemma2": ({}, "capped"),
    "mistral": ({"sliding_window": 40}, "window of 40"),
    "gemma3_text": ({"sliding_window": 40, "sliding_window_pattern": 2}, "window of 40"),
    "diffllama": ({}, "different forms"),
    "deepseek_v2": (MIXED | {"v_head_dim": 8}, "over segments"),
    "minimax": (
        MIXED | {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
        "linear_attention",
    ),
}
SHARED = list(range(5, 85))
NUM_TOKENS = 12
PROMPTS = [[*SHARED, *range(100 + 3 * number, 105 + 5 * number)] for number in range(3)]


@pytest.fixture(scope="module")
def tokens_of(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("architectures") / "model"
    write_tiny_model(folder)
    return load(folder, dtype="float32")


def made(name: str, changes: dict[str, Any], tokens_of: LoadedModel) -> LoadedModel:
    kind = changes.get("model_type", name)
    config = AutoConfig.for_model(kind, **{**SMALL, **{k: v for k, v in changes.items() if k != "model_type"}})
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=prefix.ATTENTION).eval().requires_grad_(False)
    source = torch.Generator().manual_seed(11)
    for parameter in model.parameters():
        spread = 0.25 if parameter.dim() > 1 else 0.1
        parameter.add_(torch.randn(parameter.shape, generator=source) * spread)
    return replace(tokens_of, model=model, eos_ids=frozenset({258}), max_positions=512)


def plainly(model: Any, prompt: list[int], count: int) -> list[int]:
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    model.set_attn_implementation(before)
    answer: list[int] = output[0, len(prompt) :].tolist()
    return answer


def answers(loaded: LoadedModel, **options: Any) -> list[list[int]]:
    requests = [GenerationRequest(str(index), prompt, NUM_TOKENS) for index, prompt in enumerate(PROMPTS)]
    found = {result.key: list(result.token_ids) for result in Engine(loaded).generate(requests, **options)}
    return [found[request.key] for request in requests]


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_answers_equal_those_of_generate(
    name: str, tokens_of: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = made(name, FAMILIES[name], tokens_of)
    expected = [plainly(loaded.model, prompt, NUM_TOKENS) for prompt in PROMPTS]
    with caplog.at_level(logging.WARNING):
        assert answers(loaded) == expected
    assert not caplog.records
    assert len({tuple(tokens) for tokens in expected}) > 1


@pytest.mark.parametrize("name", ALONE)
def test_what_segments_cannot_express_is_answered_by_transformers_and_logged(
    name: str, tokens_of: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    changes, reason = ALONE[name]
    loaded = made(name, changes, tokens_of)
    with caplog.at_level(logging.WARNING):
        found = answers(loaded, options=ResultOptions(scores=True, echo=True))
    assert found == [plainly(loaded.model, prompt, NUM_TOKENS) for prompt in PROMPTS]
    assert reason in caplog.text
    assert loaded.model.config._attn_implementation == prefix.ATTENTION


def test_states_that_are_no_keys_and_values_are_computed_anew(tokens_of: LoadedModel) -> None:
    loaded = made("mamba", {"state_size": 4, "num_hidden_layers": 1}, tokens_of)
    (result,) = Engine(loaded).generate([GenerationRequest("0", [5, 9, 200, 7], 5)])
    assert list(result.token_ids) == plainly(loaded.model, [5, 9, 200, 7], 5)


def test_the_fast_layers_are_taken_where_they_fit(tokens_of: LoadedModel) -> None:
    fast = {name for name, changes in FAMILIES.items() if isinstance(_forward(name, changes, tokens_of), PackedDecoder)}
    assert fast == {"llama", "llama with biases", "mistral", "qwen2"}
    assert isinstance(_forward("qwen3", {}, tokens_of), TransformersForward)


def _forward(name: str, changes: dict[str, Any], tokens_of: LoadedModel) -> object:
    return forward_of(made(name, changes, tokens_of).model)
