"""The bare engine in a process of its own: `python -m tests.bench.testing.bare`, which a `BareEngine` starts.

It does what a generation worker does with a run's cases, without a service, a store or a judge.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from services.lm.chat import encode_prompt
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest
from services.lm.loading import LoadedModel, load, prepare_process
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.test_runner.domain.test_run import answer_seed
from tests.integration.tiny_stack import core_cases

PROFILE = "roo_xml"
PROMPT_SIZE = "compact"


@dataclass(frozen=True)
class RunSettings:
    """What both sides share; `model` is a folder with merged weights."""

    model: str
    dtype: str
    num_threads: int
    num_cases: int
    max_new_tokens: int


class BareEngine:
    """A process with the engine; it stays up between measurements."""

    def __init__(self, settings: RunSettings) -> None:
        """Start it; the model is loaded before the first answer."""
        command = [sys.executable, "-m", "tests.bench.testing.bare", json.dumps(asdict(settings))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self) -> float:
        """Seconds to answer all cases."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Answer the cases once for each line of standard input."""
    settings = RunSettings(**json.loads(sys.argv[1]))
    prepare_process(settings.num_threads)
    loaded = load(Path(settings.model), dtype=settings.dtype)
    engine, cases = Engine(loaded), core_cases(settings.num_cases)
    for _ in sys.stdin:
        print(_seconds(loaded, engine, cases, settings.max_new_tokens), flush=True)


def _seconds(loaded: LoadedModel, engine: Engine, cases: list[Case], max_new_tokens: int) -> float:
    start, profile = time.perf_counter(), get_profile(PROFILE)
    requests = [
        GenerationRequest(
            key=str(place),
            prompt_ids=encode_prompt(loaded.tokenizer, profile.messages(case, PROMPT_SIZE)),
            max_new_tokens=max_new_tokens,
            seed=answer_seed(0, case.case_id, 0),
            # As a run asks, whose cases may go on for several turns.
            is_continued=True,
        )
        for place, case in enumerate(cases)
    ]
    assert all(result.token_ids for result in engine.generate(requests))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
