"""The text of an answer while it is written: whole characters only, and nothing behind a stop text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerBase

# What an incomplete UTF-8 sequence is decoded to.
_INCOMPLETE: Final = "�"
# Enough that not all of them are special, after which a tokenizer may take the next for the beginning of a text.
_CONTEXT: Final = 8


def decoding_context(tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int]) -> list[int]:
    """The prompt's last tokens, behind which an answer is decoded: some tokenizers take a blank off each beginning."""
    context = list(prompt_ids[-_CONTEXT:])
    return [] if _decoded(tokenizer, context).endswith(_INCOMPLETE) else context


def answer_text(tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int], tokens: Sequence[int]) -> str:
    """The text that the tokens add to the prompt's."""
    context = decoding_context(tokenizer, prompt_ids)
    return _decoded(tokenizer, [*context, *tokens])[len(_decoded(tokenizer, context)) :]


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class Transcript:
    """Takes tokens one by one; decodes only the last few each time, so that the cost does not grow."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], prompt_ids: Sequence[int] = ()) -> None:
        """Start with an empty answer behind the prompt."""
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._longest = max(map(len, stop), default=0)
        self._tokens = decoding_context(tokenizer, prompt_ids)
        self._start, self._read = 0, len(self._tokens)
        self._given = 0
        self.text = ""
        self.is_stopped = False

    def add(self, token: int) -> None:
        """The next token; sets `is_stopped` when it completes a stop text, before which `text` then ends."""
        self._tokens.append(token)
        known, whole = self._decode(self._start, self._read), self._decode(self._start, len(self._tokens))
        if not whole.endswith(_INCOMPLETE):
            self._append(whole[len(known) :])
            self._start, self._read = self._read, len(self._tokens)

    def finish(self) -> None:
        """No token comes any more: an incomplete character is taken as it is."""
        if not self.is_stopped:
            known, whole = self._decode(self._start, self._read), self._decode(self._start, len(self._tokens))
            self._append(whole[len(known) :])
            self._start = self._read = len(self._tokens)

    def take(self, *, is_last: bool) -> str:
        """The text since the last call; what may yet become a stop text is held back unless it `is_last`."""
        end = len(self.text) if is_last else len(self.text) - self._held()
        piece = self.text[self._given : end]
        self._given = max(self._given, end)
        return piece

    def _append(self, text: str) -> None:
        search_from = max(0, len(self.text) - self._longest)
        self.text += text
        places = [place for stop in self._stop if (place := self.text.find(stop, search_from)) >= 0]
        if places:
            self.text, self.is_stopped = self.text[: min(places)], True

    def _held(self) -> int:
        """The length of the longest end of the text with which a stop text begins."""
        lengths = range(min(self._longest - 1, len(self.text)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(self.text[-n:]) for stop in self._stop)), 0)

    def _decode(self, start: int, end: int) -> str:
        return _decoded(self._tokenizer, self._tokens[start:end])
