"""Answers held to a JSON schema: at each place only tokens are left with which the text can still become such JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from services.lm.errors import InvalidChat
from services.lm.loading import LoadedModel

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

# Free white space lets a weak model write nothing else.
_OPTIONS: Final[JsonCompileOptions] = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# Beyond this the grammar's numbers are rounded.
_MAX_INTEGER: Final = 2**53
# Reading the grammar takes a state for each remainder, which none of its limits counts: seconds for a hundred thousand.
_MAX_STEP: Final = 10_000
# Each is found by reading the schema once more.
_MOST_FORMATS: Final = 16
_UNKNOWN_FORMAT: Final = re.compile(r"Unknown format: (.*)")
# What stands there are no schemas.
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})


class Constraint:
    """One answer's schema, and how far the answer has come."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def add(self, token: int) -> None:
        """Take the token that was written.

        Raises:
            InvalidChat: The schema is too involved to be followed further.
        """
        if not self._matcher.consume_token(token):
            raise _refused(self._matcher.get_error())

    def held(self, row: Tensor) -> Tensor:
        """The logits of the next token, shape (vocabulary,), of which those that do not fit are -inf."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        if self._matcher.is_error():
            raise _refused(self._matcher.get_error())
        allowed = torch.zeros(row.shape[0], dtype=torch.bool)
        count = min(len(bits), row.shape[0])
        allowed[:count] = torch.from_numpy(bits[:count].astype(bool))
        return row.masked_fill(~allowed.to(row.device), -torch.inf)


class Constraints:
    """Makes the constraints of a model's answers."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def of(self, schema: str) -> Constraint:
        """The constraint of an answer that has not begun.

        Raises:
            InvalidChat: It is no schema, says what cannot be followed, or the model's tokenizer is of another kind.
        """
        try:
            document = json.loads(schema)
            integer, step = _largest(document), math.lcm(*_steps(document))
        except (ValueError, RecursionError):
            raise _refused("it is no JSON, or nested too deeply") from None
        if not isinstance(document, dict):
            raise _refused("it is no object")
        if integer > _MAX_INTEGER:
            raise _refused(f"integers beyond 2^53 would be rounded, such as {integer}")
        if step > _MAX_STEP:
            raise _refused(f"multiples of {step} would take too long to follow")
        return Constraint(self._matcher(document))

    def _matcher(self, schema: dict[str, Any]) -> LLMatcher:
        # Loading it takes a fifth of a second, which every worker would pay.
        from llguidance import LLMatcher

        for _ in range(_MOST_FORMATS):
            try:
                grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_OPTIONS)
            except ValueError as error:
                raise _refused(str(error)) from None
            matcher = LLMatcher(self._tokenizer, grammar)
            if not matcher.is_error():
                return matcher
            unknown = _UNKNOWN_FORMAT.match(matcher.get_error())
            # To JSON Schema a format that nobody knows says nothing; tools have such as "path" and "int32".
            plainer = _without_format(schema, unknown[1]) if unknown else schema
            if plainer == schema:
                raise _refused(matcher.get_error())
            schema = plainer
        raise _refused(f"it has more than {_MOST_FORMATS} formats that nobody knows")

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        from llguidance.hf import from_tokenizer

        tokenizer = self._loaded.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise _refused("the model's tokenizer is not one of the fast ones")
        return from_tokenizer(tokenizer, eos_token=sorted(self._loaded.eos_ids))


def held_to(logits: Tensor, constraints: Sequence[Constraint | None], rows: Sequence[int]) -> Tensor:
    """`logits`, shape (rows, vocabulary), where the row of each sequence with a constraint is held to it."""
    if not any(constraints):
        return logits
    held = logits.clone()
    for constraint, row in zip(constraints, rows, strict=False):
        if constraint is not None:
            held[row] = constraint.held(held[row])
    return held


def _largest(value: Any) -> int:
    if isinstance(value, dict | list):
        return max(map(_largest, value.values() if isinstance(value, dict) else value), default=0)
    return abs(value) if isinstance(value, int) else 0


def _steps(value: Any) -> Iterator[int]:
    """Yield the numerator of each `multipleOf`; what is to be a multiple of several is one of their common multiple."""
    step = value.get("multipleOf") if isinstance(value, dict) else None
    if type(step) in (int, float):
        yield abs(Fraction(str(step)).numerator) or 1
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _steps(inner)


def _without_format(schema: Any, name: str) -> Any:
    if isinstance(schema, list):
        return [_without_format(item, name) for item in schema]
    if not isinstance(schema, dict):
        return schema
    others = {key: value for key, value in schema.items() if key != "format" or value != name}
    return {key: value if key in _VALUES else _without_format(value, name) for key, value in others.items()}


def _refused(reason: str) -> InvalidChat:
    told = reason.strip().partition("\n")[0][:300].rstrip(".") or "no reason is told"
    return InvalidChat(f"The answer cannot be held to its JSON schema: {told}.", "Use a plainer schema, or none.")
