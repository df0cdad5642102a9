"""A dataset built from feedback items: the job that does it, what was asked, and what became of the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from services.chassis.errors import InvalidArgument
from services.chassis.jobs import Job
from services.chassis.wire import from_document
from services.chassis.wire.names import check_dataset_id

DATASET_BUILD_KIND = "dataset_build"


class DatasetBuildPhase(StrEnum):
    """What a dataset build does now."""

    READ_SUITES = "read_suites"
    BUILD = "build"


class DatasetForm(StrEnum):
    """What a dataset's rows are for."""

    SFT = "SFT"
    DPO = "DPO"
    GRPO = "GRPO"


class LeftOut(StrEnum):
    """Why an item has no row."""

    NOTHING_TO_LEARN = "nothing_to_learn"
    DOES_NOT_CONFORM = "does_not_conform"
    NO_PAIR = "no_pair"
    CONTRADICTED = "contradicted"
    NEAR_SUITE = "near_suite"
    DUPLICATE = "duplicate"
    CLIENT_STOPPED = "client_stopped"
    TOO_LONG = "too_long"
    SAME_OUTCOME = "same_outcome"


_WHY = {
    LeftOut.NOTHING_TO_LEARN: "say nothing that rows of this form can teach",
    LeftOut.DOES_NOT_CONFORM: "propose an answer that does not conform, which is never trained",
    LeftOut.NO_PAIR: "have no worse answer to set against the right one",
    LeftOut.CONTRADICTED: "are preferences that another one contradicts; withdraw one side of each",
    LeftOut.NEAR_SUITE: "are near to a case of a suite that tests; name the suite as material if it tests nothing",
    LeftOut.DUPLICATE: "say the same as another item",
    LeftOut.CLIENT_STOPPED: "are on an answer after the client's stop",
    LeftOut.TOO_LONG: "make a row of more than 1 MiB, which no dataset may have",
    LeftOut.SAME_OUTCOME: "were answered always rightly or always wrongly, so their rollouts teach nothing",
}


@dataclass(frozen=True)
class DatasetBuildSpec:
    """Which items become rows of what."""

    MESSAGE: ClassVar = "drillyard.feedback.v1.dataset_build_pb2.DatasetBuildSpec"

    dataset_id: str
    profile_id: str
    form: DatasetForm
    model_version_id: str
    tag: str
    author: str
    max_rows: int
    replay_share: float
    validation_share: float
    material_test_suite_version_ids: tuple[str, ...]
    seed: int
    evaluation_ids: tuple[str, ...] = ()
    chat_dataset_version_id: str = ""
    chat_share: float = 0.0

    def check(self) -> None:
        """Raise InvalidArgument, which names the field, unless what is named is what the rows are made of."""
        check_dataset_id(self.dataset_id, "spec.dataset_id")
        if (self.form is DatasetForm.GRPO) is not bool(self.evaluation_ids):
            raise InvalidArgument(
                "Prompts are made from evaluations, and answers and pairs from feedback.",
                "Name evaluations of runs with several repeats for prompts, and none for other rows.",
                field="spec.evaluation_ids",
            )
        if self.evaluation_ids and (self.model_version_id or self.tag or self.author):
            raise InvalidArgument(
                "Prompts are made of evaluations, which are of no tag, author or model of feedback.",
                "Leave model_version_id, tag and author out.",
                field="spec.evaluation_ids",
            )
        if bool(self.chat_share) is not bool(self.chat_dataset_version_id):
            raise InvalidArgument(
                "General chat needs both a dataset and a share.",
                "Name chat_dataset_version_id and chat_share, or none of them.",
                field="spec.chat_share",
            )
        if self.chat_share and self.form is not DatasetForm.SFT:
            raise InvalidArgument(
                "General chat can be added to answers alone.",
                "Build answers, or leave it out.",
                field="spec.chat_share",
            )


@dataclass(frozen=True)
class BuildState:
    """How far a build is: its file once that is written, and the version once that is registered.

    Attributes:
        noun: What the rows are made of.
    """

    artifact: Mapping[str, Any] | None = None
    dataset_version_id: str = ""
    num_items: int = 0
    num_rows: Mapping[str, int] = field(default_factory=dict)
    num_left_out: Mapping[str, int] = field(default_factory=dict)
    noun: str = "items"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was made and why the rest is left out, a sentence each."""
        if not self.num_items:
            return ()
        made = ", ".join(f"{count} by {reason.replace('_', ' ')}" for reason, count in self.num_rows.items())
        total = sum(self.num_rows.values())
        first = f"{self.num_items:,} {self.noun} make {total:,} rows{f': {made}' if made else ''}."
        left_out = sorted(self.num_left_out.items(), key=lambda pair: -pair[1])
        return (first, *(f"{count:,} {self.noun} {_WHY[LeftOut(reason)]}." for reason, count in left_out))

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which a job's checkpoint keeps it."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> BuildState:
        """Return the state that `to_document` wrote; that of a build which has not begun for None."""
        return cls(**document) if document else cls()


@dataclass(frozen=True)
class DatasetBuild:
    """A durable job that makes a dataset version of feedback items."""

    job: Job
    spec: DatasetBuildSpec
    state: BuildState

    @property
    def dataset_build_id(self) -> str:
        """The id of the build and of its job."""
        return self.job.job_id


def build_of(job: Job) -> DatasetBuild:
    """Return the build that a job of kind `DATASET_BUILD_KIND` is."""
    return DatasetBuild(job, from_document(DatasetBuildSpec, job.spec["spec"]), BuildState.from_document(job.saved))


@dataclass(frozen=True)
class Rollouts:
    """An evaluation of a run that asks each case `num_repeats` times."""

    evaluation_id: str
    profile_id: str
    test_suite_version_id: str
    prompt_size: str
    num_repeats: int
    is_finished: bool
