"""Mixtures of experts come in from GGUF, where the experts of a layer lie in one tensor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from services.lm.conversion.families import plan_gguf
from services.lm.conversion.families.family import EMBEDDING, HEAD, NORM, Part
from services.lm.conversion.families.qwen import QWEN3_MOE
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.saving import stored_tensors
from services.lm.errors import InvalidModelFile
from services.lm.loading import load
from tests.unit.lm.gguf.models import FEED, HEADS, HIDDEN, KV_HEADS, TOKENS, write
from tests.unit.lm.gguf.models import HEAD as HEAD_SIZE

EXPERTS, USED, EXPERT_FEED = 4, 2, 24
FACTS = {"expert_count": EXPERTS, "expert_used_count": USED, "expert_feed_forward_length": EXPERT_FEED}
IDS = torch.arange(20)[None]


def random_model() -> torch.nn.Module:
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=FEED,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        num_experts=EXPERTS,
        num_experts_per_tok=USED,
        moe_intermediate_size=EXPERT_FEED,
        norm_topk_prob=True,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def written(model: torch.nn.Module, path: Path, **facts: object) -> Path:
    """The model as llama.cpp's converter lays it out."""
    stored = {name: tensor.numpy() for name, tensor in stored_tensors(model).items()}
    tensors = {part.gguf: stored[part.folder] for part in (EMBEDDING, NORM, HEAD)}

    def layer_tensor(part: Part, layer: int) -> np.ndarray:
        name = f"model.layers.{layer}.{part.folder}"
        return np.stack([stored[name.format(n)] for n in range(EXPERTS)]) if "{}" in name else stored[name]

    for layer in range(2):
        tensors |= {f"blk.{layer}.{part.gguf}": layer_tensor(part, layer) for part in QWEN3_MOE.layer}
    named = {f"qwen3moe.{key}": value for key, value in (FACTS | facts).items()}
    return write(path, architecture="qwen3moe", tensors=tensors, facts=named | {"qwen3moe.block_count": 2})


def test_a_mixture_computes_as_the_model_that_its_file_was_written_from(tmp_path: Path) -> None:
    model = random_model()
    convert_gguf(written(model, tmp_path / "m.gguf"), tmp_path / "out")
    with torch.no_grad():
        logits = model(input_ids=IDS).logits
        assert logits.std() > 0.1
        assert torch.allclose(load(tmp_path / "out", dtype="float32").model(input_ids=IDS).logits, logits, atol=1e-5)
    with pytest.raises(InvalidModelFile, match="'qwen3_moe' cannot be written as GGUF"):
        plan_gguf(tmp_path / "out")


def test_a_mixture_with_what_its_class_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile, match="mixture of experts"):
        convert_gguf(written(random_model(), tmp_path / "m.gguf", expert_shared_count=1), tmp_path / "out")
