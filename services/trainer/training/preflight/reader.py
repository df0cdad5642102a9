"""Reads what a training would read of a row: by the model's tokenizer and template alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from services.lm.chat import encode_prompt, eos_ids_of
from services.lm.errors import InvalidModelFile, LimitExceeded, LmError
from services.lm.folders import check_model_folder
from services.lm.folders.json_files import read_json
from services.lm.folders.tokenizer import load_tokenizer
from services.lm.training.sequence import TrainedSequence
from services.protocols.cases import case_from_document
from services.protocols.suites.dataset_row import DatasetRow, RowError
from services.trainer.domain.spec import TrainingMethod
from services.trainer.training.encoding import encode_one, encode_pair
from services.trainer.training.examples import BadExampleError, begins

_GENERATION_CONFIG = "generation_config.json"
# Whether a row is too long depends on the settings, and is said later.
_NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class Reading:
    """A row as a method reads it.

    Attributes:
        sequences: Of a conversation the longest one first, of a pair the better answer, of a task its prompt.
        num_tokens: What is held against the limit.
    """

    sequences: tuple[TrainedSequence, ...]
    num_tokens: int


@dataclass(frozen=True)
class Reader:
    """The text side of a model.

    Attributes:
        max_positions: Its context, in tokens.
    """

    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    max_positions: int
    _texts: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Reader:
        """Open the text side of the model in a folder.

        Raises:
            LmError: It cannot be used.
        """
        check_model_folder(folder)
        tokenizer = load_tokenizer(folder)
        try:
            config = _config_of(folder)
            max_positions = int(getattr(config, "max_position_embeddings", 1 << 30))
            has_own = (folder / _GENERATION_CONFIG).is_file()
            generation = GenerationConfig.from_pretrained(folder, local_files_only=True) if has_own else None
        except (ValueError, KeyError, OSError, TypeError) as error:
            raise InvalidModelFile(
                f"The model cannot be read ({error}).", "Fetch the files again.", str(folder)
            ) from error
        return cls(tokenizer, eos_ids_of(generation, config, tokenizer), max_positions)

    def read(self, row: DatasetRow, method: TrainingMethod) -> Reading | None:
        """Return what a method makes of a row, or None where it passes the row over.

        Raises:
            BadExampleError: The method cannot use the row; the text names it and says why.
        """
        if method is TrainingMethod.GRPO:
            return self._task(row)
        kinds: dict[str, Any] = {"eos_ids": self.eos_ids, "max_tokens": _NO_LIMIT}
        if method is TrainingMethod.DPO:
            pair = encode_pair(self.tokenizer, row, **kinds)
            return Reading((pair.chosen, pair.rejected), pair.num_tokens)
        encoded = encode_one(self.tokenizer, row, **kinds)
        return Reading(encoded.sequences[::-1], encoded.num_tokens)

    def text_of(self, token: int) -> str:
        """Return the text of one token by itself."""
        if token not in self._texts:
            self._texts[token] = str(self.tokenizer.decode([token]))
        return self._texts[token]

    def prompt_of(self, row: DatasetRow) -> TrainedSequence:
        """Return what the model is asked by a row.

        Raises:
            BadExampleError: The template refuses it.
        """
        try:
            return TrainedSequence(tuple(encode_prompt(self.tokenizer, row.prompt, tools=row.tools)), ())
        except LimitExceeded:
            raise
        except LmError as error:
            raise BadExampleError(f"{row.place} cannot be asked: {error}") from error

    def _task(self, row: DatasetRow) -> Reading | None:
        if row.case is None:
            return None
        try:
            row.check()
        except RowError as error:
            raise BadExampleError(f"{row.place} {error}.") from error
        if not begins(row, case_from_document(row.case)):
            return None
        prompt = self.prompt_of(row)
        return Reading((prompt,), len(prompt.ids))


def _config_of(folder: Path) -> Any:
    """The model's configuration; what its file leaves out stands in the model's class, which imports torch."""
    document = read_json(folder / "config.json")
    if {"max_position_embeddings", "eos_token_id"} <= document.keys():
        return SimpleNamespace(**document)
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
