"""Ways to judge a large run on several cores: `python -m tests.bench.evaluation.sharding [--transcripts 10000,50000]`.

What is compared is the judging alone, of the same transcripts in pages as an evaluation gets them: in one process, in
processes that each take whole pages, and by Ray Data with as many actors. Verdicts must be the same, byte for byte. On
a busy machine the clock tells little, so the processor time of all processes of a way is told too: what it has beyond
that of one process is its overhead. What is done once (processes that import, Ray that starts) is told apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from operator import itemgetter
from typing import Any

import psutil

from services.evaluator.clients.transcript import to_transcript
from services.evaluator.domain.verdict import Verdict
from services.evaluator.judging.answers import Judge
from services.evaluator.ports import Transcript
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from tests.bench.evaluation.__main__ import _PROFILE, _transcripts

_PAGE_SIZE = 200
_PROMPT_SIZE = "compact"

Page = Sequence[Transcript]
Cases = Mapping[str, Case]
_judge: Judge
_cases: Cases


class Judging:
    """Judges pages in an actor of Ray Data."""

    def __init__(self, cases: Cases) -> None:
        _begin(cases)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the verdicts of each page, pickled."""
        return {
            "number": batch["number"],
            "verdicts": [pickle.dumps(_judged(pickle.loads(page))) for page in batch["page"]],
        }


def main() -> None:
    """Measure each way and print a line of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transcripts", default="10000", help="of the run; several with commas")
    parser.add_argument("--repeats", type=int, default=4, help="answers per case")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    for number in map(int, chosen.transcripts.split(",")):
        _compare(number, chosen.repeats, chosen.processes)


def _compare(num_transcripts: int, num_repeats: int, num_processes: int) -> None:
    cases = list(_PROFILE.draw(1, num_transcripts // num_repeats, categories=("single_call",)))
    transcripts = list(map(to_transcript, _transcripts(cases, num_repeats)))
    pages = [transcripts[start : start + _PAGE_SIZE] for start in range(0, len(transcripts), _PAGE_SIZE)]
    by_id = {case.case_id: case for case in cases}
    print(f"{len(transcripts):,} transcripts, {num_processes} processes", flush=True)
    expected: list[Verdict] = []
    ways: dict[str, Callable[[Cases, Sequence[Page], int], tuple[list[Verdict], float]]] = {
        "one process": _in_one,
        "processes": _in_pool,
        "Ray Data": _in_ray,
    }
    for name, judge in ways.items():
        start, before = time.monotonic(), _processor_seconds()
        verdicts, setup = judge(by_id, pages, num_processes)
        seconds, spent = time.monotonic() - start - setup, _processor_seconds() - before
        expected = expected or verdicts
        assert list(map(repr, verdicts)) == list(map(repr, expected))
        print(f"  {name:12} {seconds:7.2f} s, set up in {setup:5.2f} s, processor {spent:7.2f} s in all", flush=True)


def _begin(cases: Cases) -> None:
    global _judge, _cases
    _judge, _cases = Judge(get_profile(_PROFILE.id), _PROMPT_SIZE), cases


def _judged(page: Page) -> list[Verdict]:
    return _judge.judge_all(_cases, page)


def _in_one(cases: Cases, pages: Sequence[Page], _num_processes: int) -> tuple[list[Verdict], float]:
    _begin(cases)
    return [verdict for page in pages for verdict in _judged(page)], 0.0


def _in_pool(cases: Cases, pages: Sequence[Page], num_processes: int) -> tuple[list[Verdict], float]:
    start, context = time.monotonic(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, _begin, (cases,)) as pool:
        list(pool.map(_judged, [page[:1] for page in pages[: 2 * num_processes]]))
        setup = time.monotonic() - start
        return [verdict for verdicts in pool.map(_judged, pages) for verdict in verdicts], setup


def _in_ray(cases: Cases, pages: Sequence[Page], num_processes: int) -> tuple[list[Verdict], float]:
    import ray
    import ray.data

    start = time.monotonic()
    ray.init(num_cpus=num_processes, include_dashboard=False, log_to_driver=False)
    setup = time.monotonic() - start
    try:
        rows = [{"number": number, "page": pickle.dumps(page)} for number, page in enumerate(pages)]
        source = ray.data.from_items(rows, override_num_blocks=len(rows))
        actors = ray.data.ActorPoolStrategy(size=num_processes)
        judged = source.map_batches(Judging, batch_size=1, fn_constructor_args=(cases,), compute=actors).take_all()
    finally:
        ray.shutdown()
    # Blocks come as they are done.
    judged.sort(key=itemgetter("number"))
    return [verdict for row in judged for verdict in pickle.loads(row["verdicts"])], setup


def _processor_seconds() -> float:
    process = psutil.Process()
    own = process.cpu_times()
    living = [child.cpu_times() for child in process.children(recursive=True)]
    return (
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(times.user + times.system for times in living)
    )


if __name__ == "__main__":
    main()
