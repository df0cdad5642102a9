"""Test runs: what a run does, and the order of its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from services.chassis.errors import InvalidArgument
from services.test_runner.domain.endpoint import Endpoint
from services.test_runner.domain.limits import check_id, check_number
from services.test_runner.domain.sampling import Sampling

KIND = "test_run"
DEFAULT_CASE_TIMEOUT_SECONDS = 600.0
_DTYPES = ("", "bfloat16", "float32")
_MAX_SECONDS = 30 * 86400.0
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "num_repeats": (1, 100),
    "seed": (0, (1 << 63) - 1),
    "case_timeout_seconds": (0.001, _MAX_SECONDS),
    "run_timeout_seconds": (0.0, _MAX_SECONDS),
}
# Left out of the stored form while unused, so that a request of before they came is still the same request.
_ADDED = ("endpoint", "throughput", "log_probs", "case_timeout_seconds", "run_timeout_seconds", "repeat_of_test_run_id")


@dataclass(frozen=True)
class TestRunSpec:
    """What a run does. It never changes after the run was created.

    `endpoint` is the served model that answers; None for the registry's weights in a worker process.
    """

    model_version_id: str = ""
    test_suite_version_id: str = ""
    prompt_size: str = "compact"
    sampling: Sampling = field(default_factory=Sampling)
    num_repeats: int = 1
    seed: int = 0
    dtype: str = ""
    endpoint: Endpoint | None = None
    throughput: bool = False
    log_probs: bool = False
    case_timeout_seconds: float = DEFAULT_CASE_TIMEOUT_SECONDS
    run_timeout_seconds: float = 0.0
    repeat_of_test_run_id: str = ""

    def filled(self, other: TestRunSpec) -> TestRunSpec:
        """Return it with everything that is unset (empty, 0, false) taken from `other`.

        Version and endpoint say together who answers: either is taken only where both are unset.
        """
        names_model = bool(self.model_version_id or self.endpoint)
        values = {entry.name: getattr(self, entry.name) or getattr(other, entry.name) for entry in fields(self)}
        values["sampling"] = self.sampling.filled(other.sampling)
        if names_model:
            values |= {"model_version_id": self.model_version_id, "endpoint": self.endpoint}
        return TestRunSpec(**values)

    def check(self) -> None:
        """Return when every value is within its bounds.

        Raises:
            InvalidArgument: One is not; the error names the field.
        """
        if self.endpoint is not None:
            self.endpoint.check("spec.")
        if self.model_version_id or self.endpoint is None:
            check_id("spec.model_version_id", self.model_version_id)
        check_id("spec.test_suite_version_id", self.test_suite_version_id)
        self.sampling.check("spec.")
        for name, (least, most) in _BOUNDS.items():
            check_number(f"spec.{name}", getattr(self, name), least, most)
        if self.dtype not in _DTYPES:
            raise InvalidArgument(
                "spec.dtype is not a number format that a run can use.",
                "Use bfloat16, float32, or nothing for the fastest.",
                field="spec.dtype",
            )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the job keeps it."""
        plain = TestRunSpec()
        document = asdict(replace(self, endpoint=None))
        for name in _ADDED:
            if getattr(self, name) == getattr(plain, name):
                del document[name]
        if self.endpoint is not None:
            document["endpoint"] = self.endpoint.to_document()
        return {**document, "sampling": self.sampling.to_document()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TestRunSpec:
        """Return the spec that `to_document` wrote."""
        endpoint = document.get("endpoint")
        return cls(
            **{
                **document,
                "sampling": Sampling(**document["sampling"]),
                "endpoint": Endpoint.from_document(endpoint) if endpoint else None,
            }
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
