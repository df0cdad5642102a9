"""A model that is newly initialised: the architecture and the tokenizer of another, in its own size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm.conversion.saving import CONFIG, companion_files, save_model
from services.lm.errors import InvalidModelFile
from services.lm.folders.tokenizer import FILE, SETTINGS, load_tokenizer
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.domain.spec import TrainingJobSpec
from services.trainer.domain.weights import ScratchConfig

_GENERATION: Final = "generation_config.json"
_ROLES: Final = ("bos_token", "eos_token", "pad_token")
# Forms of a tokenizer beside tokenizer.json, which would speak of the one before.
_OLD_FORMS: Final = frozenset({"tokenizer.model", "added_tokens.json", "vocab.json", "merges.txt"})
# What other sizes decide; a configuration that leaves it out gets it from them.
_DERIVED: Final = {"hidden_size": "head_dim", "num_attention_heads": "head_dim", "num_hidden_layers": "layer_types"}


def write_scratch_model(out: Path, base: Path, spec: TrainingJobSpec, rows: Sequence[DatasetRow]) -> None:
    """Write to the new folder `out` a model like `base`, in the sizes and with the initialisation of the spec's seed.

    Raises:
        InvalidModelFile: The architecture cannot have these sizes.
        LmError: `base` cannot be used.
    """
    files = companion_files(base)
    config: dict[str, Any] = _resized(json.loads(files[CONFIG]), spec.scratch)
    config |= {key: "float32" for key in ("dtype", "torch_dtype") if key in config}
    if spec.scratch.vocab_size:
        tokenizer = load_tokenizer(base).train_new_from_iterator(texts_of(rows), spec.scratch.vocab_size)
        files = _with_tokenizer(files, tokenizer)
        config |= json.loads(files[_GENERATION]) | {"vocab_size": len(tokenizer)}
    files[CONFIG] = json.dumps(config, indent=2, ensure_ascii=False).encode()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError, AssertionError, KeyError) as error:
        raise InvalidModelFile(
            f"A model of this architecture cannot have these sizes ({error}).", "Change spec.scratch.", CONFIG
        ) from error
    save_model(model, files, out)


def texts_of(rows: Sequence[DatasetRow]) -> Iterator[str]:
    """Return the texts that a tokenizer is trained on: contents, calls and definitions of functions."""
    for row in rows:
        for message in row.messages:
            yield message["content"]
            for call in message.get("tool_calls", ()):
                yield from (call["function"]["name"], call["function"]["arguments"])
        if row.tools:
            yield json.dumps(row.tools, ensure_ascii=False)


def _resized(config: dict[str, Any], scratch: ScratchConfig) -> dict[str, Any]:
    sizes = {name: size for name, size in asdict(scratch).items() if size and name != "vocab_size"}
    if unknown := sorted(sizes.keys() - config.keys()):
        raise InvalidModelFile(
            f"The configuration has no {', '.join(unknown)} of its own to be changed.", "Leave it 0.", CONFIG
        )
    derived = {_DERIVED[name] for name in sizes if name in _DERIVED}
    config = {key: value for key, value in config.items() if key not in derived} | sizes
    for whole, part in (("hidden_size", "num_attention_heads"), ("num_attention_heads", "num_key_value_heads")):
        if sizes and {whole, part} <= config.keys() and config[whole] % config[part]:
            raise InvalidModelFile(
                f"The {whole} of {config[whole]} cannot be divided by the {part} of {config[part]}.",
                "Change one of them in spec.scratch.",
                CONFIG,
            )
    return config


def _with_tokenizer(files: dict[str, bytes], tokenizer: Any) -> dict[str, bytes]:
    """The files with another tokenizer, whose special tokens have the same texts and other ids."""
    settings: dict[str, Any] = json.loads(files[SETTINGS]) if SETTINGS in files else {}
    settings.pop("added_tokens_decoder", None)
    ids = {f"{role}_id": getattr(tokenizer, f"{role}_id") for role in _ROLES}
    kept = {name: content for name, content in files.items() if name not in _OLD_FORMS}
    return kept | {
        FILE: tokenizer.backend_tokenizer.to_str().encode(),
        SETTINGS: json.dumps(settings, indent=2, ensure_ascii=False).encode(),
        _GENERATION: json.dumps({name: number for name, number in ids.items() if number is not None}).encode(),
    }
