"""Scorers of plain text: ways to compare an answer with the targets of its case."""

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import re2  # type: ignore[import-untyped]
from jsonschema.exceptions import SchemaError
from rapidfuzz.distance import LCSseq

from services.protocols.cases import CaseError, Scoring
from services.protocols.cases.fields import MAX_DEPTH, depth_of
from services.protocols.javascript.text import refuse_constant, trim
from services.protocols.judging.json_schemas import UnusableSchema, check_json_schema, errors_of, problem_of

Score = Callable[[str, Scoring], float]
"""From an answer without blanks at its ends to how right it is, 0 to 1."""


def _accept(scoring: Scoring) -> None:
    return


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to compare an answer with the targets.

    Attributes:
        score: says how right an answer is.
        options: type of each option that it knows, by name.
        needs_targets: it has nothing to compare with unless there is a target.
        check: raises CaseError, naming the field, when the targets or options make no sense to it.
    """

    score: Score
    options: Mapping[str, type] = field(default_factory=dict)
    needs_targets: bool = True
    check: Callable[[Scoring], None] = _accept

    def check_scoring(self, scoring: Scoring) -> None:
        """Raise CaseError, naming the field, unless the scorer can be used as a case asks."""
        if self.needs_targets and not scoring.targets:
            raise CaseError("scoring.targets", f"must hold a target: {scoring.scorer} compares with it")
        for name, value in scoring.options.items():
            if name not in self.options:
                names = ", ".join(self.options) or "none"
                raise CaseError(f"scoring.options.{name}", f"is unknown; {scoring.scorer} knows: {names}")
            if not isinstance(value, self.options[name]):
                raise CaseError(f"scoring.options.{name}", f"must be of the type {self.options[name].__name__}")
        self.check(scoring)


_NO_MARKS = str.maketrans("", "", string.punctuation)
_EQUALITY_OPTIONS = {"ignore_case": bool, "ignore_punctuation": bool}


def _form(text: str, scoring: Scoring) -> str:
    if scoring.options.get("ignore_case"):
        text = text.casefold()
    if scoring.options.get("ignore_punctuation"):
        text = " ".join(text.translate(_NO_MARKS).split())
    return trim(text)


def _exact(answer: str, scoring: Scoring) -> float:
    return float(_form(answer, scoring) in {_form(target, scoring) for target in scoring.targets})


def _contains(answer: str, scoring: Scoring) -> float:
    text = _form(answer, scoring)
    hits = [_form(target, scoring) in text for target in scoring.targets]
    return sum(hits) / len(hits) if scoring.options.get("all") else float(any(hits))


def _check_targets(scoring: Scoring) -> None:
    for place, target in enumerate(scoring.targets):
        if not _form(target, scoring):
            raise CaseError(f"scoring.targets[{place}]", "is blank, so every answer would hold it")


EXACT = Scorer(_exact, _EQUALITY_OPTIONS)
CONTAINS = Scorer(_contains, {**_EQUALITY_OPTIONS, "all": bool}, check=_check_targets)


MAX_PATTERN = 2_000
_MAX_MEMORY = 8 << 20


def _by_pattern(answer: str, scoring: Scoring) -> float:
    """Return 1 when a target matches somewhere in the answer, or, with `full`, all of it; else 0.

    Patterns are RE2's, which takes time linear in the answer and bounded memory whatever the pattern.
    """
    ignores_case, is_full = bool(scoring.options.get("ignore_case")), bool(scoring.options.get("full"))
    patterns = (compiled(target, ignores_case=ignores_case) for target in scoring.targets)
    return float(any((one.fullmatch if is_full else one.search)(answer) for one in patterns))


@lru_cache(maxsize=256)
def compiled(pattern: str, *, ignores_case: bool = False):  # type: ignore[no-untyped-def]
    """Return the compiled pattern; `re2.error` when it is none, or would need too much memory."""
    options = re2.Options()
    options.log_errors, options.max_mem, options.case_sensitive = False, _MAX_MEMORY, not ignores_case
    return re2.compile(pattern, options=options)


def reason_of(error: re2.error) -> str:
    """Return what RE2 says is wrong, as text."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _check_patterns(scoring: Scoring) -> None:
    """Refuse what is no pattern."""
    for place, target in enumerate(scoring.targets):
        field = f"scoring.targets[{place}]"
        if len(target) > MAX_PATTERN:
            raise CaseError(field, f"is a pattern of more than {MAX_PATTERN:,} characters")
        try:
            compiled(target)
        except re2.error as error:
            raise CaseError(field, f"is no pattern that RE2 can run: {reason_of(error)}") from error


REGEX = Scorer(_by_pattern, {"ignore_case": bool, "full": bool}, check=_check_patterns)


_ARTICLES = frozenset(("a", "an", "the"))
_WORD = re.compile(r"[^\W_]+")
_TOKENIZERS = ("13a", "intl", "char", "none")


def _f_measure(num_common: int, num_answer: int, num_target: int) -> float:
    """Return the harmonic mean of precision and recall, 0 to 1; 1 where neither side has a word."""
    if not num_answer or not num_target:
        return float(num_answer == num_target)
    return 2 * num_common / (num_answer + num_target)


def _f1(answer: str, scoring: Scoring) -> float:
    """Return the best F-measure over the words in common, each counted as often as it is (SQuAD's F1)."""

    def words(text: str) -> list[str]:
        return [word for word in text.lower().translate(_NO_MARKS).split() if word not in _ARTICLES]

    said = words(answer)
    pairs = ((words(target), (Counter(said) & Counter(words(target))).total()) for target in scoring.targets)
    return max(_f_measure(num_common, len(said), len(target)) for target, num_common in pairs)


def _rouge_l(answer: str, scoring: Scoring) -> float:
    """Return the best F-measure over the longest common subsequence of words (Lin 2004), without stemming."""
    said = _WORD.findall(answer.lower())
    targets = [_WORD.findall(target.lower()) for target in scoring.targets]
    return max(_f_measure(LCSseq.similarity(said, target), len(said), len(target)) for target in targets)


def _bleu(answer: str, scoring: Scoring) -> float:
    """Return sentence BLEU as sacreBLEU computes it, against all targets at once, divided by 100."""
    metric = _bleu_metric(str(scoring.options.get("tokenize", "13a")), bool(scoring.options.get("ignore_case")))
    return min(1.0, float(metric.sentence_score(answer, list(scoring.targets)).score) / 100)


@lru_cache(maxsize=8)
def _bleu_metric(tokenize: str, ignores_case: bool) -> Any:
    # Costs half a second, which those who never ask for it need not wait for.
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, lowercase=ignores_case, effective_order=True)


def _check_tokenizer(scoring: Scoring) -> None:
    if scoring.options.get("tokenize", "13a") not in _TOKENIZERS:
        raise CaseError("scoring.options.tokenize", f"must be one of {', '.join(_TOKENIZERS)}")


F1 = Scorer(_f1)
ROUGE_L = Scorer(_rouge_l)
SACREBLEU = Scorer(_bleu, {"tokenize": str, "ignore_case": bool}, check=_check_tokenizer)


_FENCE = re.compile(r"```(?:json)?[ \t]*\n([^`]*)\n[ \t]*```")
_FORBIDDEN = ("$ref", "$dynamicRef", "patternProperties", "unevaluatedProperties", "unevaluatedItems")


def _by_schema(answer: str, scoring: Scoring) -> float:
    """Return 1 when the answer, or the one fenced block in it, is what is asked for, else 0."""
    try:
        value = _value_of(answer)
        schema = json.dumps(scoring.options.get("schema", {}), default=dict)
        is_allowed = not errors_of(schema, value)
    except (ValueError, RecursionError):
        return 0.0
    targets = [json.loads(target) for target in scoring.targets]
    return float(is_allowed and (not targets or any(_same(value, target) for target in targets)))


def _value_of(answer: str) -> object:
    blocks = _FENCE.findall(answer)
    value: object = json.loads(blocks[0] if len(blocks) == 1 else answer, parse_constant=refuse_constant)
    if depth_of(value, MAX_DEPTH) > MAX_DEPTH:
        raise ValueError("nested too deep")
    return value


def _same(entry: object, other: object) -> bool:
    """Compare without taking true for 1, as `==` does."""
    return json.dumps(entry, sort_keys=True) == json.dumps(other, sort_keys=True)


def _check_schema(scoring: Scoring) -> None:
    """Refuse what is no schema, what could lead out of it or run without bound, and targets that are no JSON."""
    schema = scoring.options.get("schema", {})
    text = json.dumps(schema, default=dict)
    try:
        check_json_schema(text)
    except (SchemaError, UnusableSchema) as error:
        problem = problem_of(error) if isinstance(error, SchemaError) else str(error)
        raise CaseError("scoring.options.schema", f"is no JSON schema: {problem}") from error
    _check_keywords(json.loads(text))
    for place, target in enumerate(scoring.targets):
        try:
            json.loads(target)
        except ValueError as error:
            raise CaseError(f"scoring.targets[{place}]", f"is no JSON: {error}") from error


def _check_keywords(schema: object) -> None:
    waiting = [schema]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            if forbidden := [name for name in _FORBIDDEN if name in entry]:
                raise CaseError("scoring.options.schema", f"may not hold {forbidden[0]}")
            waiting += entry.values()
        elif isinstance(entry, list):
            waiting += entry


JSON_SCHEMA = Scorer(_by_schema, {"schema": Mapping}, needs_targets=False, check=_check_schema)

NONE = "none"
"""The scorer that leaves the judgement to a grader: any answer that says something conforms."""

SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        "exact": EXACT,
        "contains": CONTAINS,
        "regex": REGEX,
        "json_schema": JSON_SCHEMA,
        "f1": F1,
        "rouge_l": ROUGE_L,
        "sacrebleu": SACREBLEU,
        NONE: Scorer(lambda answer, scoring: 1.0, needs_targets=False),
    }
)


def scorer_of(scoring: Scoring) -> Scorer:
    """Return the scorer that a case names; CaseError when there is none of that name."""
    if scoring.scorer not in SCORERS:
        raise CaseError("scoring.scorer", f"{scoring.scorer!r} is no scorer; there are: {', '.join(SCORERS)}")
    return SCORERS[scoring.scorer]
