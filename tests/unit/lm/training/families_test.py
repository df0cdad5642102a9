"""Every family of models trains to the loss of its examples one by one: behind a shared prefix where that is exact."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm.adapters import LoraSettings, add_lora
from services.lm.decoder.whole import why_whole
from services.lm.loading import attention_of
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import ScoredSequences, StepWork, accumulate, log_probs

SIZES: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
DROPS = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}
SHARED: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 64},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 64},
    "mixtral": EXPERTS,
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 16},
    "qwen3_moe": EXPERTS | {"head_dim": 8},
    "minimax_m2": EXPERTS | {"head_dim": 8},
    "gpt2": GPT2 | DROPS,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0, "init_std": 0.2},
    "phi3": {"original_max_position_embeddings": 256} | DROPS,
    "granite": {},
    "olmo2": {},
    "cohere": {},
}
WHOLE: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": LINEAR | EXPERTS | {"head_dim": 8, "shared_expert_intermediate_size": 16},
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "mamba": {"state_size": 8, "expand": 2},
    "bloom": {"n_layer": 2, "n_head": 4} | DROPS,
    "falcon": {"multi_query": True} | DROPS,
    "codegen": GPT2 | {"rotary_dim": 4, "num_key_value_heads": 4} | DROPS,
    "gemma2": {"head_dim": 8, "sliding_window": 64},
    "gpt_oss": EXPERTS | {"head_dim": 8},
    "mistral": {"sliding_window": 16},
    "gemma3_text": {"head_dim": 8, "sliding_window": 16},
    "phi3": DROPS
    | {
        "original_max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4,
            "original_max_position_embeddings": 32,
        },
    },
}


def examples() -> list[TrainedSequence]:
    source = torch.Generator().manual_seed(5)
    common = torch.randint(3, 110, (23,), generator=source).tolist()
    return [
        TrainedSequence((*common, *torch.randint(3, 110, (own,), generator=source).tolist()), ((26, 23 + own),))
        for own in (9, 16, 12)
    ]


TOTAL = sum(example.num_trained for example in examples())


def made(kind: str, settings: dict[str, Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **(SIZES | settings))
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention_of(config)).train()


def trained(model: Any, *, max_tokens: int, shares: bool = True) -> StepWork:
    def loss_of(scored: ScoredSequences) -> torch.Tensor:
        return -torch.cat(scored.log_probs).sum() / TOTAL

    return accumulate(model, examples(), loss_of, max_tokens=max_tokens, shares=shares)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    values = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return values


def plain_loss(model: Any) -> torch.Tensor:
    """The textbook way: one example at a time, by the attention that transformers writes out."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    total = torch.zeros(())
    for example in examples():
        ids = torch.tensor([example.ids])
        logits = model(input_ids=ids, use_cache=False).logits[0, example.spans[0][0] - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, ids[0, example.spans[0][0] :], reduction="sum")
    model.set_attn_implementation(before)
    return total / TOTAL


@pytest.mark.parametrize("kind", sorted(SHARED))
def test_a_family_of_attention_alone_shares_the_prefix_exactly(kind: str) -> None:
    model = made(kind, SHARED[kind])
    assert why_whole(model, 39) == ""
    loss = trained(model, max_tokens=1000).loss
    shared = gradients(model)
    expected = plain_loss(model)
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-4)
    for name, gradient in gradients(model).items():
        assert (shared[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_a_family_of_more_than_attention_is_trained_whole_with_a_reason(kind: str) -> None:
    model = made(kind, WHOLE[kind])
    assert why_whole(model, 39)
    part = trained(model, max_tokens=1000, shares=False)
    whole = gradients(model)
    expected = plain_loss(model)
    expected.backward()
    assert part.loss == pytest.approx(expected.item(), abs=1e-5)
    assert part.num_computed_tokens == sum(len(example.ids) for example in examples())
    for name, gradient in gradients(model).items():
        assert (whole[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


@pytest.mark.parametrize("kind", ["bloom", "falcon", "codegen"])
def test_an_attention_that_no_other_can_take_the_place_of_sees_no_later_token(kind: str) -> None:
    model = made(kind, WHOLE[kind]).eval()
    ids = torch.tensor([examples()[0].ids])
    with torch.no_grad():
        whole, beginning = (model(input_ids=some, use_cache=False).logits[0, :20] for some in (ids, ids[:, :20]))
    torch.testing.assert_close(whole, beginning, atol=1e-4, rtol=0)


@pytest.mark.parametrize("targets", [("lm_head",), ("q_proj", "lm_head"), ("embed_tokens", "q_proj")])
def test_an_adapter_beyond_the_layers_is_computed_too(targets: tuple[str, ...]) -> None:
    model = add_lora(made("llama", {}), LoraSettings(r=4, target_modules=targets), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(3))
    loss = trained(model, max_tokens=1000).loss
    shared = gradients(model)
    expected = plain_loss(model)
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-4)
    for name, gradient in gradients(model).items():
        assert (shared[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-5, name


class _Leaking(torch.nn.Module):
    """A layer that no configuration tells of: it hands each token a share of the one before it."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(x) + 0.1 * torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]
        return result


def test_what_the_configuration_does_not_tell_is_found_by_computing_a_sample() -> None:
    model = made("olmo2", {})
    model.model.layers[0].mlp = _Leaking(model.model.layers[0].mlp)
    assert "more than attention" in why_whole(model, 39)
    whole, shared = (log_probs(model, examples(), max_tokens=1000, shares=shares) for shares in (False, True))
    assert (torch.cat(whole) - torch.cat(shared)).abs().max() > 1e-3
    assert model.training
