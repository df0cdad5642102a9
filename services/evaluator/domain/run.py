"""The run that is judged: what it did, and what it ran with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from services.chassis.wire import from_document, to_document


@dataclass(frozen=True)
class Sampling:
    """How the run's answers were chosen; the test runner's contract has the defaults."""

    MESSAGE: ClassVar = "drillyard.test_runner.v1.test_run_pb2.Sampling"

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    min_p: float


@dataclass(frozen=True)
class Endpoint:
    """The served model that answered; `tool_mode` is empty, `native` or `prompt`."""

    base_url: str
    model: str
    tool_mode: str = ""
    stop: tuple[str, ...] = ()
    extra_body: str = ""
    num_ctx: int = 0


@dataclass(frozen=True)
class Subject:
    """The run that is judged, as it was when the evaluation was created; none of it changes afterwards."""

    test_run_id: str
    model_version_id: str
    test_suite_version_id: str
    test_suite_digest: str
    profile_id: str
    profile_digest: str
    prompt_size: str
    sampling: Sampling
    num_repeats: int
    seed: int
    num_transcripts_total: int
    endpoint: Endpoint | None = None
    throughput: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which the store keeps it."""
        return {**asdict(self), "sampling": to_document(self.sampling)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Subject:
        """Return the subject that `to_document` wrote, in this release or an earlier one."""
        served = document.get("endpoint")
        endpoint = Endpoint(**{**served, "stop": tuple(served["stop"])}) if served else None
        return cls(**{**document, "sampling": from_document(Sampling, document["sampling"]), "endpoint": endpoint})


@dataclass(frozen=True)
class Provenance:
    """What a run ran with; empty where it is not known (yet)."""

    model_digest: str = ""
    adapter_digest: str = ""
    chat_template_digest: str = ""
    dtype: str = ""
    num_threads: int = 0
    library_versions: Mapping[str, str] = field(default_factory=dict)
    endpoint: Mapping[str, str] = field(default_factory=dict)
    device: str = ""


UNKNOWN = Provenance()
