"""Folders with a tiny tokenizer, a chat template and settings, as a model's are, and what they are asked to carry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from services.lm.doctor.diagnosis import Conversation, Request

TEMPLATES = Path(__file__).parent / "templates"
CHATML = (TEMPLATES / "chatml.jinja").read_text(encoding="utf-8")
CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HEADER_TOKENS = ("<|begin|>", "<|head|>", "<|tail|>", "<|function|>", "<|end|>")


@dataclass(frozen=True)
class Settings:
    """What a folder holds besides the template."""

    special: Sequence[str] = CHATML_TOKENS
    bos: str = ""
    eos: str = "<|im_end|>"
    generation_eos: str = "<|im_end|>"
    context: int = 4096
    added: Sequence[str] = ()
    merges: Sequence[tuple[str, str]] = ()
    lacks: str = ""
    adds_bos: bool = False


READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
_READS = {
    "role": "assistant",
    "content": "I'll read it.",
    "tool_calls": [
        {"id": "call00009", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"src/a.py"}'}}
    ],
}
_OPENING = (
    {"role": "system", "content": "You answer with one tool call.\n\n## read_file\n<read_file>…</read_file>"},
    {"role": "user", "content": "<task>\nShow src/a.py\n</task>"},
)
REQUEST = Request(
    conversations=(
        Conversation(
            "calls as text",
            (
                *_OPENING,
                {"role": "assistant", "content": "<read_file>\n<path>src/a.py</path>\n</read_file>"},
                {"role": "user", "content": "[read_file for 'src/a.py'] Result:\n 1 | def é():\n 2 |     pass\n"},
                {"role": "assistant", "content": "<attempt_completion>\n<result>Done.</result>\n</attempt_completion>"},
            ),
        ),
        Conversation(
            "native calls",
            (
                *_OPENING,
                _READS,
                {"role": "tool", "tool_call_id": "call00009", "content": " 1 | def é():\n 2 |     pass\n"},
            ),
            (READ_FILE,),
        ),
    ),
    max_new_tokens=192,
)


def write_folder(path: Path, template: str | None, settings: Settings | None = None) -> Path:
    """Write the new folder `path` and return it."""
    chosen = settings or Settings()
    path.mkdir()
    tokenizer = _tokenizer(chosen)
    tokenizer.save(str(path / "tokenizer.json"))
    if template is not None:
        (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    names = {"eos_token": chosen.eos} | ({"bos_token": chosen.bos} if chosen.bos else {})
    names |= {"unk_token": chosen.special[0]} if chosen.lacks else {}
    files = {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **names},
        "config.json": {"model_type": "llama", "max_position_embeddings": chosen.context},
        "generation_config.json": {"eos_token_id": tokenizer.token_to_id(chosen.generation_eos)},
    }
    for name, content in files.items():
        (path / name).write_text(json.dumps(content), encoding="utf-8")
    return path


def _tokenizer(settings: Settings) -> Tokenizer:
    alphabet = [one for one in sorted(pre_tokenizers.ByteLevel.alphabet()) if one != settings.lacks]
    made = ["".join(pair) for pair in settings.merges]
    vocabulary = {token: place for place, token in enumerate((*settings.special, *alphabet, *made))}
    unknown = settings.special[0] if settings.lacks else None
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(settings.merges), unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not settings.merges)
    tokenizer.decoder = decoders.ByteLevel()
    special = (*settings.special, *settings.added)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    if settings.adds_bos:
        begin = (settings.bos, tokenizer.token_to_id(settings.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{settings.bos} $A", pair=f"{settings.bos} $A $B", special_tokens=[begin]
        )
    return tokenizer
