"""A suite's cases turn by turn, as a run asks them of its worker: `python -m tests.bench.testing.turns [--help]`.

Prints processor seconds, which other work on the machine changes less than the clock, memory, and a digest of the
answers: started in turn with two builds on the path, it sets one beside the other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from pathlib import Path

from services.chassis.wire import from_document
from services.lm import worker_protocol as protocol
from services.lm.generation.engine import Engine
from services.lm.loading import load, prepare_process
from services.lm.worker.answering import Worker
from services.protocols.profile import Profile, get_profile
from services.test_runner.backends.transformers_worker import _prompt_to_worker
from services.test_runner.backends.worker_events import answer_of
from services.test_runner.domain.test_run import Item, TestRunSpec
from services.test_runner.jobs.case_session import CaseSession

_WINDOW = 65


def main() -> None:
    """Answer the cases, window after window."""
    options = _options()
    prepare_process(options.threads)
    loaded = load(options.model, adapter=options.adapter)
    events: list[protocol.Event] = []
    worker = Worker(loaded, Engine(loaded), events.append)
    profile = get_profile(options.profile)
    sessions = _sessions(profile, options.version, options.every)
    start, answers = time.process_time(), dict[str, list[tuple[int, ...]]]()
    for first in range(0, len(sessions), _WINDOW):
        window = {session.key: session for session in sessions[first : first + _WINDOW]}
        while prompts := [session.prompt() for session in window.values() if not session.is_over]:
            asked = tuple(_prompt_to_worker(prompt, options.new) for prompt in prompts)
            events.clear()
            worker.answer(protocol.Generate(1, asked), lambda: False)
            for event in events:
                if isinstance(event, protocol.Answer):
                    window[event.key].take(answer_of(event))
                    answers.setdefault(event.key, []).append(event.token_ids)
    seconds, digest = time.process_time() - start, hashlib.sha256(json.dumps(answers, sort_keys=True).encode())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(sessions)} cases, {sum(map(len, answers.values()))} answers: {seconds:.1f} s of the processor,", end=" "
    )
    print(f"{memory:.2f} GB at most, answers {digest.hexdigest()[:12]}")


def _sessions(profile: Profile, version: int, every: int) -> list[CaseSession]:
    spec = from_document(TestRunSpec, {"prompt_size": profile.prompt_sizes[0]})
    suite = next(s for s in profile.suites() if s.suite_id == f"{profile.id}/core" and s.version == version)
    return [CaseSession(profile, case, Item(0, place, 0), spec) for place, case in enumerate(suite.cases[::every])]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.testing.turns", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--adapter", type=Path, help="LoRA adapter, merged, so that answers end by themselves")
    parser.add_argument("--profile", default="roo_native")
    parser.add_argument("--version", type=int, default=2, help="of the profile's suite `core`")
    parser.add_argument("--every", type=int, default=20, help="takes each case of this distance")
    parser.add_argument("--new", type=int, default=192, help="most tokens of an answer")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
