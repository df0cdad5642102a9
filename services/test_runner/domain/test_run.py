"""Test runs: what a run does, and the order of its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import ClassVar

from services.chassis.errors import InvalidArgument
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.generation import Sampling, check_id

KIND = "test_run"
# The part of a run that another process takes: window after window, for as long as there are any.
SHARE_KIND = "test_run_share"
_DTYPES = ("", "bfloat16", "float32")


class TestRunPhase(StrEnum):
    """What a test run does now."""

    LOAD_MODEL = "load_model"
    GENERATE = "generate"


@dataclass(frozen=True)
class TestRunSpec:
    """What a run does. It never changes after the run was created; defaults and bounds stand in the contract.

    `endpoint` is the served model that answers; None for the registry's weights in a worker process.
    """

    MESSAGE: ClassVar = "drillyard.test_runner.v1.test_run_pb2.TestRunSpec"

    model_version_id: str
    test_suite_version_id: str
    prompt_size: str
    sampling: Sampling
    num_repeats: int
    seed: int
    dtype: str
    endpoint: Endpoint | None
    throughput: bool
    log_probs: bool
    case_timeout_seconds: float
    run_timeout_seconds: float
    repeat_of_test_run_id: str
    keep_answers: bool

    def filled(self, other: TestRunSpec) -> TestRunSpec:
        """Return it with everything that is unset (empty, 0, false) taken from `other`.

        Version and endpoint say together who answers: either is taken only where both are unset.
        """
        values = {entry.name: getattr(self, entry.name) or getattr(other, entry.name) for entry in fields(self)}
        chosen = {name: value for name, value in vars(self.sampling).items() if value}
        values["sampling"] = replace(other.sampling, **chosen)
        if self.model_version_id or self.endpoint:
            values |= {"model_version_id": self.model_version_id, "endpoint": self.endpoint}
        return TestRunSpec(**values)

    def check(self) -> None:
        """Return when the fields can be used and fit each other.

        Raises:
            InvalidArgument: They do not; the error names the field.
        """
        if self.endpoint is not None:
            self.endpoint.check("spec.")
        else:
            check_id("spec.model_version_id", self.model_version_id)
        check_id("spec.test_suite_version_id", self.test_suite_version_id)
        if self.dtype not in _DTYPES:
            raise InvalidArgument(
                "spec.dtype is not a number format that a run can use.",
                "Use bfloat16, float32, or nothing for the fastest.",
                field="spec.dtype",
            )


@dataclass(frozen=True)
class Item:
    """One transcript that is to be made: its place in the plan from 1, the case's index in the suite, the repeat."""

    number: int
    case_index: int
    repeat: int


def items(num_cases: int, num_repeats: int, *, num_done: int = 0) -> Iterator[Item]:
    """Yield what a run makes, in order: all cases, then all again for the next repeat."""
    for index in range(num_done, num_cases * num_repeats):
        yield Item(number=index + 1, case_index=index % num_cases, repeat=index // num_cases)


def answer_seed(seed: int, case_id: str, repeat: int, turn: int = 0) -> int:
    """Return the seed of one answer, 0 to 2⁶³-1, a function of the run's seed, case, repeat and turn alone."""
    name = f"{seed}/{repeat}/{case_id}" if turn == 0 else f"{seed}/{repeat}/{case_id}/{turn}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
