import random

import pytest

from services.protocols.cases import CaseError, Scoring
from services.protocols.plain_text.scorers import SCORERS, scorer_of


def score(scorer: str, answer: str, *targets: str, **options: object) -> float:
    scoring = Scoring(scorer, targets, options=options)
    found = scorer_of(scoring)
    found.check_scoring(scoring)
    return found.score(answer, scoring)


@pytest.mark.parametrize(
    ("answer", "targets", "options", "expected"),
    [
        (" Paris\n", ("Paris",), {}, 1),
        ("paris", ("Paris",), {}, 0),
        ("paris", ("London", "Paris"), {"ignore_case": True}, 1),
        ("Paris, of course!", ("Paris of course",), {"ignore_punctuation": True}, 1),
        ("Paris!", ("Paris",), {}, 0),
    ],
)
def test_exact_compares_all_of_the_answer(
    answer: str, targets: tuple[str, ...], options: dict[str, object], expected: int
) -> None:
    assert score("exact", answer, *targets, **options) == expected


def test_contains_asks_for_one_target_or_for_all() -> None:
    assert score("contains", "red and green", "blue", "green") == 1
    assert score("contains", "red and green", "blue", "green", "red", "grey", all=True) == 0.5
    assert score("contains", "RED", "red") == 0
    assert score("contains", "RED", "red", ignore_case=True) == 1


def test_regex_finds_or_must_match_the_whole() -> None:
    assert score("regex", "about 42 eggs", r"\b42\b") == 1
    assert score("regex", "about 42 eggs", r"42", full=True) == 0
    assert score("regex", "YES.", r"yes\W", ignore_case=True, full=True) == 1


def test_a_pattern_that_explodes_elsewhere_takes_linear_time() -> None:
    assert score("regex", "a" * 200_000 + "b", r"(a+)+$", r"(a|aa)*c") == 0


@pytest.mark.parametrize("pattern", [r"(a)\1", "(", "a" * 2_001, r"(?=a)a", "((a{1000}){1000}){1000}"])
def test_a_pattern_that_cannot_be_run_within_bounds_is_refused(pattern: str) -> None:
    with pytest.raises(CaseError) as caught:
        score("regex", "a", pattern)
    assert caught.value.field == "scoring.targets[0]"


SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', 1),
        ('```json\n{"a": 1}\n```', 1),
        ('Here it is:\n```\n{"a": 1}\n```', 1),
        ('{"a": "1"}', 0),
        ('{"a": 1} and more', 0),
        ("NaN", 0),
        ("[" * 5_000 + "]" * 5_000, 0),
        ("9" * 5_000, 0),
    ],
)
def test_json_must_fit_the_schema(answer: str, expected: int) -> None:
    assert score("json_schema", answer, schema=SCHEMA) == expected


def test_json_must_equal_a_target_if_there_is_one() -> None:
    assert score("json_schema", '{"b": [1, 2], "a": true}', '{"a": true, "b": [1, 2]}') == 1
    assert score("json_schema", '{"a": 1}', '{"a": true}') == 0


def test_patterns_of_a_schema_take_linear_time() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    assert score("json_schema", '"' + "a" * 100_000 + 'b"', schema=schema) == 0
    assert score("json_schema", '"aaa"', schema=schema) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://example.org/schema"},
        {"patternProperties": {"(a+)+$": {}}},
        {"pattern": "("},
    ],
)
def test_a_schema_that_is_none_or_leads_out_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(CaseError, match=r"scoring\.options\.schema"):
        score("json_schema", "1", schema=schema)


def test_f1_counts_common_words_without_articles_and_marks() -> None:
    assert score("f1", "The quick, brown fox!", "a quick fox") == pytest.approx(0.8)
    assert score("f1", "cat cat", "cat") == pytest.approx(2 / 3)
    assert score("f1", "dog", "cat", "a dog") == 1
    assert score("f1", "the", "a") == 1


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence() -> None:
    assert score("rouge_l", "The cat was on the mat.", "the cat sat on the mat") == pytest.approx(5 / 6)
    # Lin (2004), section 3.1: the second order of words shares a subsequence of two words with the reference.
    assert score("rouge_l", "police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert score("rouge_l", "the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)
    assert score("rouge_l", "…", "word") == 0


def _longest_common(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        previous = 0
        for place, found in enumerate(other, start=1):
            previous, row[place] = row[place], previous + 1 if word == found else max(row[place], row[place - 1])
    return row[-1]


def test_rouge_l_equals_a_plain_dynamic_program_on_random_texts() -> None:
    draw = random.Random(5)
    for _ in range(200):
        one, other = (draw.choices("abcde", k=draw.randint(1, 40)) for _ in range(2))
        expected = 2 * _longest_common(one, other) / (len(one) + len(other))
        assert score("rouge_l", " ".join(one), " ".join(other)) == pytest.approx(expected)


def test_sacrebleu_is_1_for_a_reference_and_counts_all_references() -> None:
    answer = "The dog bit the man."
    assert score("sacrebleu", answer, answer, "The dog had bit the man.") == pytest.approx(1)
    # Four of five words and two of four pairs match; no longer sequence does, which smoothing counts 1/2, then 1/4.
    expected = (4 / 5 * 2 / 4 * (1 / 2) / 3 * (1 / 4) / 2) ** 0.25
    assert score("sacrebleu", "a b x d e", "a b c d e") == pytest.approx(expected)
    with pytest.raises(CaseError, match="tokenize"):
        score("sacrebleu", "x", "x", tokenize="ja-mecab")


@pytest.mark.parametrize("scorer", [name for name in SCORERS if name not in ("json_schema", "none")])
def test_a_scorer_that_compares_needs_a_target(scorer: str) -> None:
    with pytest.raises(CaseError, match=r"scoring\.targets"):
        score(scorer, "x")


def test_what_a_scorer_does_not_know_is_refused() -> None:
    with pytest.raises(CaseError, match="is no scorer; there are: exact, contains"):
        score("guess", "x", "x")
    with pytest.raises(CaseError, match=r"scoring\.options\.loud: is unknown"):
        score("exact", "x", "x", loud=True)
    with pytest.raises(CaseError, match="must be of the type bool"):
        score("exact", "x", "x", ignore_case="yes")
    with pytest.raises(CaseError, match="every answer would hold it"):
        score("contains", "x", " ")
