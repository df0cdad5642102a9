"""Looks at every row of a dataset before anything is computed: with the tokenizer alone, without weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from services.lm.chat import encode_prompt, eos_ids_of
from services.lm.errors import InvalidModelFile, LmError
from services.lm.folders import check_model_folder
from services.lm.folders.json_files import read_json
from services.lm.folders.tokenizer import load_tokenizer
from services.trainer.domain.plan import AttemptPlan
from services.trainer.training.encoding import LongExampleError, encode_one
from services.trainer.training.examples import BadExampleError, Dataset, read_dataset

_GENERATION_CONFIG = "generation_config.json"
_MAX_LISTED = 10


@dataclass(frozen=True)
class _Reader:
    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    max_positions: int
    max_tokens: int


@dataclass(frozen=True)
class _Fault:
    line: int
    reason: str
    num_tokens: int = 0


def check_rows(plan: AttemptPlan) -> None:
    """Return when the model's chat template takes every row and each has something to train and is short enough.

    Raises:
        BadExampleError: One is not; the first is named with its line and the reason, the others with their lines.
        LmError: The model's text side cannot be used.
    """
    reader = _reader_of(plan)
    faults = list(_faults(read_dataset(Path(plan.dataset_file)), reader))
    if not faults:
        return
    sentences, others = [faults[0].reason], [str(fault.line) for fault in faults[1:]]
    if longest := max(fault.num_tokens for fault in faults):
        sentences.append(f"The longest row has {longest} tokens, the model's context {reader.max_positions}.")
    if others:
        lines = ", ".join(others[:_MAX_LISTED]) + " …" * (len(others) > _MAX_LISTED)
        sentences.append(f"{len(others)} more rows cannot be used (lines {lines}).")
    raise BadExampleError(" ".join(sentences))


def _reader_of(plan: AttemptPlan) -> _Reader:
    folder = Path(plan.base_folder)
    check_model_folder(folder)
    tokenizer = load_tokenizer(folder)
    try:
        config = _config_of(folder)
        max_positions = int(getattr(config, "max_position_embeddings", 1 << 30))
        has_own = (folder / _GENERATION_CONFIG).is_file()
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if has_own else None
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise InvalidModelFile(f"The model cannot be read ({error}).", "Fetch the files again.", str(folder)) from error
    max_tokens = min(plan.spec.max_tokens_per_pack, max_positions)
    return _Reader(tokenizer, eos_ids_of(generation, config, tokenizer), max_positions, max_tokens)


def _config_of(folder: Path) -> Any:
    """The model's configuration; what its file leaves out stands in the model's class, which imports torch."""
    document = read_json(folder / "config.json")
    if {"max_position_embeddings", "eos_token_id"} <= document.keys():
        return SimpleNamespace(**document)
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _faults(dataset: Dataset, reader: _Reader) -> Iterator[_Fault]:
    for example in dataset.train:
        try:
            encode_one(reader.tokenizer, example, eos_ids=reader.eos_ids, max_tokens=reader.max_tokens)
        except LongExampleError as error:
            yield _Fault(example.line, str(error), error.num_tokens)
        except BadExampleError as error:
            yield _Fault(example.line, str(error))
    for example in dataset.validation:
        try:
            encode_prompt(reader.tokenizer, example.messages[:-1], tools=example.tools)
        except LmError as error:
            yield _Fault(example.line, f"{example.place} cannot be asked: {error}")
