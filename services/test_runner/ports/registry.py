"""Where models, suites and deployments are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.protocols.cases import Case
from services.test_runner.domain.test_run import Artifact, Form


@dataclass(frozen=True)
class ResolvedModel:
    """One model version: the weights to load, and the adapter to put on them.

    Attributes:
        form: What the weights are.
        num_context_tokens: Longest prompt and answer together; 0 when unknown.
        original: Of a form, the weights folder that it was made from.
    """

    model_version_id: str
    base: Artifact
    adapter: Artifact | None
    form: Form = Form.FOLDER
    num_context_tokens: int = 0
    original: Artifact | None = None


@dataclass(frozen=True)
class ResolvedSuite:
    """One suite version."""

    test_suite_version_id: str
    digest: str
    profile_id: str
    num_cases: int


@dataclass(frozen=True)
class CasePage:
    """Some cases in the suite's order; `next_token` is empty when these were the last."""

    cases: tuple[Case, ...]
    next_token: str = ""


class Registry(Protocol):
    """Where models and suites are kept."""

    async def resolve_model(self, model_version_id: str) -> ResolvedModel:
        """Return what a version, or the newest of a model, is made of.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: It is of a kind that cannot generate.
        """
        ...

    async def resolve_suite(self, test_suite_version_id: str) -> ResolvedSuite:
        """Return a suite version, or the newest of a suite.

        Raises:
            NotFound: There is no such version.
        """
        ...

    async def list_cases(self, test_suite_version_id: str, page_token: str) -> CasePage:
        """Return the page of a suite version's cases that begins at the token; empty for the first."""
        ...


@dataclass(frozen=True)
class WorkerDeployment:
    """A version that workers are to serve, and that has not answered yet, or could not."""

    deployment_id: str
    model_version_id: str


class Deployments(Protocol):
    """Where it is known what workers are to serve."""

    async def unanswered(self) -> Sequence[WorkerDeployment]:
        """Return the deployments by workers that are starting or have failed."""
        ...

    async def report(self, deployment_id: str, *, reason: str, has_failed: bool) -> None:
        """Tell how one stands; without a reason it has answered."""
        ...
