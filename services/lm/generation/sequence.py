"""One sequence while it is written: its tokens, and its text in whole characters with nothing behind a stop text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from transformers import PreTrainedTokenizerBase

from services.lm.generation.constraint import Constraint
from services.lm.generation.requests import GenerationRequest, GenerationResult, Piece, TokenScores
from services.lm.generation.sampling import Draws
from services.lm.worker_protocol import FinishReason

# The last tokens that are looked up, more before fewer.
_LENGTHS: Final = (3, 2)
_MAX_DRAFT: Final = 8
# Rows of one pass up to which guesses are worth their time: more than half of them are right (61 answers of a tuned
# model took 191 passes without guesses, 99 with up to 64 rows, 77 with 128, 70 with 256, at more cost).
_CHEAP_ROWS: Final = 128

# Where runs of tokens end that were seen, the last place of each.
Ends = Mapping[tuple[int, ...], int]


def draft_length(num_sequences: int) -> int:
    """How many guesses each of so many sequences may add to a pass."""
    return min(_MAX_DRAFT, _CHEAP_ROWS // num_sequences - 1) if num_sequences <= _CHEAP_ROWS // 2 else 0


def run_ends(tokens: Sequence[int], start: int, end: int) -> dict[tuple[int, ...], int]:
    """The runs that end at the places `start … end - 1`."""
    return {
        tuple(tokens[place - length : place]): place
        for place in range(start, end)
        for length in _LENGTHS
        if place >= length
    }


class Lookup:
    """The tokens of one sequence, and where each run of a few was seen last."""

    def __init__(self, tokens: Sequence[int], known: Ends | None = None, num_known: int = 0) -> None:
        """Begin with the prompt; `known` are the runs within its first `num_known` tokens, which others share."""
        self._tokens = list(tokens)
        self._known: Ends = known or {}
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = num_known

    def add(self, token: int) -> None:
        """A token was written."""
        self._tokens.append(token)

    def draft(self, count: int) -> list[int]:
        """Up to `count` tokens that followed the last time these were the last ones; none if they are new."""
        # The last runs are not indexed yet, so that they do not find themselves.
        self._ends |= run_ends(self._tokens, self._indexed, len(self._tokens))
        self._indexed = len(self._tokens)
        for length in _LENGTHS:
            last = tuple(self._tokens[-length:])
            place = self._ends.get(last, self._known.get(last))
            if place is not None:
                return self._tokens[place : place + count]
        return []


# What an incomplete UTF-8 sequence is decoded to.
_INCOMPLETE: Final = "�"
# Enough that not all of them are special, after which a tokenizer may take the next for the beginning of a text.
_CONTEXT: Final = 8


def decoding_context(tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int]) -> list[int]:
    """The prompt's last tokens, behind which an answer is decoded: some tokenizers take a blank off each beginning."""
    context = list(prompt_ids[-_CONTEXT:])
    return [] if _decoded(tokenizer, context).endswith(_INCOMPLETE) else context


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class AnswerText:
    """Takes tokens one by one; decodes only the last few each time, so that the cost does not grow."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], prompt_ids: Sequence[int] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._longest = max(map(len, stop), default=0)
        self._tokens = decoding_context(tokenizer, prompt_ids)
        self._start, self._read = 0, len(self._tokens)
        self._sent = 0
        self.text = self.stop_text = ""

    def add(self, token: int) -> None:
        """The next token; one that completes a stop text sets `stop_text`, before which `text` then ends."""
        self._tokens.append(token)
        before, whole = self._decode(self._start, self._read), self._decode(self._start, len(self._tokens))
        if not whole.endswith(_INCOMPLETE):
            self._append(whole[len(before) :])
            self._start, self._read = self._read, len(self._tokens)

    def finish(self) -> None:
        """No token comes any more: an incomplete character is taken as it is."""
        if not self.stop_text:
            before, whole = self._decode(self._start, self._read), self._decode(self._start, len(self._tokens))
            self._append(whole[len(before) :])
            self._start = self._read = len(self._tokens)

    def take(self, *, is_last: bool) -> str:
        """The text since the last call; what may yet become a stop text is held back unless it `is_last`."""
        end = len(self.text) if is_last else len(self.text) - self._held()
        piece = self.text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece

    def _append(self, text: str) -> None:
        search_from = max(0, len(self.text) - self._longest)
        self.text += text
        places = [(place, stop) for stop in self._stop if (place := self.text.find(stop, search_from)) >= 0]
        if places:
            place, self.stop_text = min(places)
            self.text = self.text[:place]

    def _held(self) -> int:
        """The length of the longest end of the text with which a stop text begins."""
        lengths = range(min(self._longest - 1, len(self.text)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(self.text[-n:]) for stop in self._stop)), 0)

    def _decode(self, start: int, end: int) -> str:
        return _decoded(self._tokenizer, self._tokens[start:end])


@dataclass
class Times:
    """Seconds of a sequence: waiting, and its shares of reading and writing."""

    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0


@dataclass
class _Unsent:
    """What was written since the last piece."""

    tokens: list[int] = field(default_factory=list)
    scores: TokenScores = field(default_factory=TokenScores)


class SequenceState:
    """Takes what is chosen for it until it stops; then `reason` says why."""

    def __init__(
        self,
        request: GenerationRequest,
        tokenizer: PreTrainedTokenizerBase,
        closing: Collection[int],
        *,
        follows_text: bool,
        lookup: Lookup | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        """`closing` are the end-of-turn tokens; with `follows_text` the text is known at each step."""
        self.constraint = constraint
        self.request, self._tokenizer, self._closing = request, tokenizer, closing
        self.draws = Draws(request.seed, request.key)
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self.times = Times()
        self.cached = 0
        self._lookup = lookup or Lookup(request.prompt_ids)
        needs_text = follows_text or bool(request.stop)
        self._answer_text = AnswerText(tokenizer, request.stop, request.prompt_ids) if needs_text else None
        self._scores = self.prompt_scores = TokenScores()
        self._unsent = _Unsent()

    def draft(self, count: int) -> list[int]:
        """Guesses for the tokens after the next one, as many as could still be written."""
        room = min(count, self.request.max_new_tokens - len(self.tokens) - 1)
        # What fits is known for the next token alone.
        return self._lookup.draft(room) if room > 0 and self.constraint is None else []

    def take(self, choices: Sequence[int], draft: Sequence[int]) -> int:
        """Take the first chosen token, and the next ones while the one before was guessed right; how many it took.

        Each of `choices` was computed on the assumption that those of `draft` before it are right.
        """
        count = 0
        while self.reason is None and (count == 0 or (count <= len(draft) and choices[count - 1] == draft[count - 1])):
            self._add(choices[count])
            count += 1
        self.draws.taken(count)
        return count

    def score(self, scores: TokenScores) -> None:
        """What the model thought of the tokens just taken."""
        self._scores += scores
        self._unsent.scores += scores

    def piece(self) -> Piece:
        """What it got since the last piece."""
        text = self._answer_text.take(is_last=self.reason is not None) if self._answer_text else ""
        unsent, self._unsent = self._unsent, _Unsent()
        return Piece(self.request.key, text, tuple(unsent.tokens), unsent.scores)

    def result(self) -> GenerationResult:
        """The finished sequence."""
        return GenerationResult(
            key=self.request.key,
            token_ids=tuple(self.tokens),
            text=self._text(),
            finish_reason=self.reason or "length",
            prompt_tokens=len(self.request.prompt_ids),
            cached_tokens=self.cached,
            prefill_seconds=self.times.prefill,
            decode_seconds=self.times.decode,
            queue_seconds=self.times.queue,
            stop_text=self._answer_text.stop_text if self._answer_text else "",
            scores=self._scores,
            prompt_scores=self.prompt_scores,
        )

    def _add(self, token: int) -> None:
        self.tokens.append(token)
        self._unsent.tokens.append(token)
        self._lookup.add(token)
        if self._answer_text:
            self._answer_text.add(token)
        if token in self._closing or (self._answer_text and self._answer_text.stop_text):
            self.reason = "stop"
        elif len(self.tokens) >= self.request.max_new_tokens:
            self.reason = "length"
        if self.reason is None and self.constraint:
            self.constraint.add(token)
        if self.reason and self._answer_text:
            self._answer_text.finish()

    def _text(self) -> str:
        if self._answer_text:
            return self._answer_text.text
        context = decoding_context(self._tokenizer, self.request.prompt_ids)
        return _decoded(self._tokenizer, [*context, *self.tokens])[len(_decoded(self._tokenizer, context)) :]
