"""What the test runner needs from outside."""

from services.test_runner.ports.generation import (
    Activity,
    Answer,
    AnswerScorer,
    BackendFaultError,
    Delta,
    EndpointPolicy,
    EndpointRenderer,
    GenerationBackend,
    GenerationEvent,
    Prepared,
    Prompt,
    PromptRenderer,
    Rendered,
    Workload,
)
from services.test_runner.ports.registry import CasePage, Registry, ResolvedModel, ResolvedSuite
from services.test_runner.ports.store import RunStore

__all__ = [
    "Activity",
    "Answer",
    "AnswerScorer",
    "BackendFaultError",
    "CasePage",
    "Delta",
    "EndpointPolicy",
    "EndpointRenderer",
    "GenerationBackend",
    "GenerationEvent",
    "Prepared",
    "Prompt",
    "PromptRenderer",
    "Registry",
    "Rendered",
    "ResolvedModel",
    "ResolvedSuite",
    "RunStore",
    "Workload",
]
