"""A tiny random model made in code, in the ordinary folder form: for tests, kill tests and first steps offline."""

import json
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from services.lm.folders.publish import published

CHATML: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_EOS: Final = 2


def write_tiny_model(
    path: Path, *, seed: int = 0, hidden_size: int = 64, num_layers: int = 2, max_positions: int = 4096
) -> None:
    """Write a random Llama of about 0.1 million numbers to the new folder `path`; equal seeds, equal files.

    `hidden_size` is a multiple of 16; there are `hidden_size / 16` heads sharing half as many keys. The tokenizer is
    byte-level: one token per byte, and three special ones. Uses no network; takes well under a second.

    Raises:
        LmError: `path` exists already.
    """
    tokenizer = _byte_tokenizer()
    heads = max(2, hidden_size // 16)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 2,
        num_hidden_layers=num_layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=_EOS,
        pad_token_id=_EOS,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]), published(path) as folder:
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        _write_texts(folder, config, tokenizer)


def _write_texts(folder: Path, config: LlamaConfig, tokenizer: Tokenizer) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    names = {"bos_token": _SPECIAL[1], "eos_token": _SPECIAL[_EOS], "pad_token": _SPECIAL[_EOS]}
    files = {
        "config.json": config.to_diff_dict(),
        "generation_config.json": {"eos_token_id": _EOS, "pad_token_id": _EOS},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **names},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _byte_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*_SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in _SPECIAL])
    return tokenizer
