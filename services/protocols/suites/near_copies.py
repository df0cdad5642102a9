"""Is a row to train on nearly a case that tests?"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.protocols.cases import Case
from services.protocols.suites.overlap import NGRAM_SIZE, prose_words

MIN_SHARE = 0.5
"""A text that holds so much of a case's task, by sequences of eight words, is nearly that case."""
_TASK = re.compile(r"<task>(.*?)</task>", re.DOTALL)
# No word of a language; the search for paths would take the square of its length.
_LONG_RUN = re.compile(r"\S{200,}")


@dataclass(frozen=True, slots=True)
class NearCopy:
    """A case of a suite that a text nearly holds; `share` is how much of its task, 0 to 1."""

    suite: str
    case_id: str
    share: float


class SuiteTasks:
    """The tasks of suites, for asking many texts one by one."""

    def __init__(self, suites: Iterable[tuple[str, Iterable[Case]]]) -> None:
        """Read the cases of suites, each with its name."""
        self._cases: list[tuple[str, str, int]] = []
        self._by_sequence: dict[str, list[int]] = {}
        self._short: dict[str, int] = {}
        for suite, cases in suites:
            for case in cases:
                self._add(suite, case)

    def near_copy(self, texts: Sequence[str]) -> NearCopy | None:
        """Return the case whose task stands most wholly in the texts, from `MIN_SHARE` on; a short one stands alone."""
        # A prompt repeats its task in what is asked of the model.
        tasks = dict.fromkeys(task for text in texts for task in (text, *_TASK.findall(text)))
        words = [prose_words(_LONG_RUN.sub(" ", task)) for task in tasks]
        counts: Counter[int] = Counter()
        for sequence in {sequence for each in words for sequence in _sequences(each)}:
            counts.update(self._by_sequence.get(sequence, ()))
        shares = {place: count / self._cases[place][2] for place, count in counts.items()}
        shares |= {self._short[text]: 1.0 for text in map(" ".join, words) if text in self._short}
        place, share = max(shares.items(), key=lambda item: item[1], default=(0, 0.0))
        return NearCopy(*self._cases[place][:2], share) if share >= MIN_SHARE else None

    def _add(self, suite: str, case: Case) -> None:
        words, place = prose_words(case.task), len(self._cases)
        sequences = set(_sequences(words))
        self._cases.append((suite, case.case_id, len(sequences)))
        for sequence in sequences:
            self._by_sequence.setdefault(sequence, []).append(place)
        if words and not sequences:
            self._short.setdefault(" ".join(words), place)


def _sequences(words: Sequence[str]) -> Iterable[str]:
    return (" ".join(words[start : start + NGRAM_SIZE]) for start in range(len(words) - NGRAM_SIZE + 1))
