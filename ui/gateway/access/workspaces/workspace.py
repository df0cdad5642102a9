"""What a workspace is, what it may use, and which RPCs use what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.chassis.machine.caller import DEFAULT_WORKSPACE


class Resource(StrEnum):
    """What a quota bounds."""

    JOBS = "jobs"
    TOKENS = "tokens"
    BYTES = "bytes"


_JOB, _WORK = frozenset({Resource.JOBS}), frozenset({Resource.JOBS, Resource.TOKENS})
_FILE, _KEPT_JOB = frozenset({Resource.BYTES}), frozenset({Resource.JOBS, Resource.BYTES})
_NOTHING: frozenset[Resource] = frozenset()
USES: Mapping[str, frozenset[Resource]] = {
    "CreateDatasetBuild": _KEPT_JOB,
    "CreateDatasetImport": _KEPT_JOB,
    "CreateDatasetVersion": _FILE,
    # One with a suite to pass is tested.
    "CreateDeployment": _WORK,
    # Each run brings one along; a model that grades writes tokens.
    "CreateEvaluation": frozenset({Resource.TOKENS}),
    "CreateExport": _KEPT_JOB,
    "CreateFeedbackImport": _JOB,
    "CreateFeedbackItem": _NOTHING,
    "CreateImport": _KEPT_JOB,
    "CreateLoop": frozenset(Resource),
    "CreateModelVersion": _FILE,
    "CreatePublication": _JOB,
    "CreateSchedule": frozenset({Resource.TOKENS}),
    "CreateSessionSuite": _FILE,
    "CreateShipment": frozenset(Resource),
    "CreateSubscription": _NOTHING,
    "CreateTestRun": _WORK,
    "CreateTestSuiteVersion": _FILE,
    "CreateTrainingJob": frozenset(Resource),
    "Generate": frozenset({Resource.TOKENS}),
    "ResumeSchedule": _NOTHING,
    "ResumeTestRun": _WORK,
    "ResumeTrainingJob": _WORK,
    "ReviseDatasetVersion": _FILE,
    "RunSchedule": _WORK,
}
"""By the names of RPCs that make something new, or go on with it, what they need; a test knows all of them."""


@dataclass(frozen=True)
class Workspace:
    """To which jobs, versions, keys and people belong; a quota of 0 is none.

    Attributes:
        max_jobs: At work or waiting at once.
        max_tokens: Generated and trained in a calendar month, in UTC.
        max_bytes: Of the model, dataset and suite versions that are kept.
        creator: Name of the caller who made it.
    """

    workspace_id: str
    creator: str
    create_time: datetime
    max_jobs: int = 0
    max_tokens: int = 0
    max_bytes: int = 0

    def quota_of(self, resource: Resource) -> int:
        """Return how much of a resource may be used; 0: as much as there is."""
        quota: int = getattr(self, f"max_{resource}")
        return quota


@dataclass(frozen=True)
class Use:
    """What a workspace uses now, in the units of its quotas."""

    num_jobs: int = 0
    num_tokens: int = 0
    num_bytes: int = 0

    def of(self, resource: Resource) -> int:
        """Return how much of a resource is used."""
        used: int = getattr(self, f"num_{resource}")
        return used

    def __add__(self, other: Use) -> Use:
        return Use(self.num_jobs + other.num_jobs, self.num_tokens + other.num_tokens, self.num_bytes + other.num_bytes)


UNLIMITED = Workspace(DEFAULT_WORKSPACE, "", datetime.fromtimestamp(0, UTC))
"""The workspace that is always there, as it is before an admin gives it quotas."""


def used_up_sentences(workspace: Workspace, use: Use, resource: Resource) -> str:
    """Return what is used of a resource and what is allowed, and on the next line what to do; empty: there is room."""
    used, allowed = use.of(resource), workspace.quota_of(resource)
    if not allowed or used < allowed:
        return ""
    name, numbers = workspace.workspace_id, f"{used:,} of {allowed:,}"
    return {
        Resource.JOBS: f"The workspace {name} has {numbers} jobs at work or waiting.\n"
        "Wait until one ends, cancel one, or ask an admin for a larger quota.",
        Resource.TOKENS: f"The workspace {name} has used {numbers} tokens of this month.\n"
        "Wait for the next month (in UTC), or ask an admin for a larger quota.",
        Resource.BYTES: f"The workspace {name} keeps {numbers} bytes of models, datasets and suites.\n"
        "Delete versions that nobody needs, or ask an admin for a larger quota.",
    }[resource]
