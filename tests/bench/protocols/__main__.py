"""How fast one core judges answers and applies diffs: `python -m tests.bench.protocols [--rounds N]`.

Times are processor time. The parser's ratio is the median over pairs of rounds, one of each side right after the other,
against a plain port of the client's automaton.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.protocols.roo.diff.apply import apply_diff
from services.protocols.roo_xml.judge import judge
from services.protocols.roo_xml.parse import parse
from tests.bench.protocols.automaton import parse_naively

_FILE_LINES = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each measurement")
    rounds = parser.parse_args().rounds
    answers, diffs = _answers(get_profile("roo_xml").suites()[0].cases), _diffs()
    texts = [answer for _, answer in answers]
    judged = [len(answers) / _seconds(lambda: _judge_all(answers)) for _ in range(rounds)]
    applied = [len(diffs) / _seconds(lambda: _apply_all(diffs)) for _ in range(rounds)]
    ratios = []
    for _ in range(rounds):
        ours = _seconds(lambda: [parse(text) for text in texts])
        ratios.append(_seconds(lambda: [parse_naively(text) for text in texts]) / ours)
    print(f"answers judged a second   {statistics.median(judged):10,.0f}   ({len(answers)} answers, {rounds} rounds)")
    print(f"diffs applied a second    {statistics.median(applied):10,.0f}   ({len(diffs)} diffs, {rounds} rounds)")
    print(f"parser, times the port    {statistics.median(ratios):10.1f}   (pairs: {min(ratios):.1f}-{max(ratios):.1f})")


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _answers(cases: Sequence[Case]) -> list[tuple[Case, str]]:
    """Return each case with its reference answer and with one that is wrong, of several kinds in turn."""
    answers = []
    for number, case in enumerate(cases):
        good = case.reference
        wrong = (
            f"{good}\nDone.",
            good[: len(good) * 2 // 3],
            cases[(number * 7 + 3) % len(cases)].reference,
            f"```xml\n{good}\n```",
            f"I do that now.\n{good}{good}",
            '{"name": "read_file", "arguments": {"path": "a.py"}}',
        )
        answers += [(case, good), (case, wrong[number % len(wrong)])]
    return answers


def _judge_all(answers: Sequence[tuple[Case, str]]) -> None:
    for case, answer in answers:
        judge(case, answer)


def _diffs() -> list[tuple[str, str]]:
    """Return files and diffs: at the right line, some lines off, without a line, in two blocks, without a match."""
    lines = [f"    value_{number} = compute({number}, other={number * 3})" for number in range(_FILE_LINES)]
    text = "\n".join(lines) + "\n"
    diffs = []
    for number in range(10, 60):
        found, other = lines[number], lines[number + 40]
        diffs += [
            (text, _block(number + 1, found)),
            (text, _block(number + 9, found)),
            (text, _block(None, found)),
            (text, f"{_block(number + 1, found)}\n{_block(number + 41, other)}"),
            (text, _block(number + 1, "    nowhere = 0")),
        ]
    return diffs


def _block(line: int | None, search: str) -> str:
    head = f":start_line:{line}\n-------\n" if line else ""
    return f"<<<<<<< SEARCH\n{head}{search}\n=======\n    changed = 1\n>>>>>>> REPLACE"


def _apply_all(diffs: Sequence[tuple[str, str]]) -> None:
    for text, diff in diffs:
        apply_diff(text, diff)


if __name__ == "__main__":
    main()
