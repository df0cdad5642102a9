"""Whether log-probabilities are the version's, by planted faults of forms."""

from __future__ import annotations

import random

import pytest

from services.feedback.gate.numbers import RowScore, Scores, log_prob_result

NOISE = random.Random(3)
VERSION = [[-NOISE.random() * 0.3 for _ in range(20)] for _ in range(4)]


def scores(values: list[list[float]]) -> list[RowScore]:
    return [RowScore((1, *range(20)), 1, tuple(row)) for row in values]


def moved(values: list[list[float]], by: float) -> list[list[float]]:
    """Move every other token up and down: the mean stays, the distance is `by`."""
    return [[value + by * (-1) ** place for place, value in enumerate(row)] for row in values]


BASE = moved(VERSION, 0.4)


@pytest.mark.parametrize(
    ("form", "base", "words"),
    [
        (moved(VERSION, 0.02), BASE, ""),
        (moved(VERSION, 0.02), [], ""),
        (moved(VERSION, 0.4), [], ""),
        (moved(VERSION, 0.6), [], "up and down"),
        (BASE, BASE, "weights: the form answers as small@1 does"),
        (moved(BASE, 0.01), BASE, "weights: the form answers as small@1 does"),
        (moved(VERSION, -0.6), BASE, "what was trained is lost in the number type"),
        ([[value - 4 for value in row] for row in VERSION], BASE, "an output matrix of its own"),
        ([[value - 0.1 for value in row] for row in VERSION], [], "log-probabilities differ by 0.100 nats"),
        (VERSION, VERSION, ""),
    ],
)
def test_each_fault_of_weights_is_told(form: list[list[float]], base: list[list[float]], words: str) -> None:
    compared = Scores(scores(VERSION), scores(form), scores(base), "small@1")
    result = log_prob_result(compared, ["a", "b", "c", "d"], 0.05)
    assert result.passed == (not words)
    assert words in " ".join(result.differences)
    assert all(difference.startswith("weights: ") for difference in result.differences)


def test_without_any_score_nothing_is_proven() -> None:
    nothing = RowScore((1, 2, 3), 1, ())
    result = log_prob_result(Scores([nothing], [nothing]), ["a"], 0.05)
    assert not result.passed and "No reference answer fits" in result.summary


def test_tokens_that_a_server_does_not_tell_are_left_out() -> None:
    version, form = RowScore((1, 2, 3), 1, (-1.0, -2.0)), RowScore((1, 2, 3), 1, (-1.0, None))
    result = log_prob_result(Scores([version], [form]), ["a"], 0.05)
    assert result.passed and "over 1 tokens of 1 answers" in result.summary
