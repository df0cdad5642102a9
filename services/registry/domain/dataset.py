"""Datasets and their immutable versions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar

from services.chassis.errors import NotFound
from services.registry.domain.draft import Draft, Numbered
from services.registry.domain.identifiers import shown


@dataclass(frozen=True, kw_only=True)
class DatasetVersionDraft(Draft):
    """A dataset version before it has a number."""

    asked: ClassVar[tuple[str, ...]] = ("dataset_id", "artifact.digest", "produced_by")

    dataset_id: str
    num_train_examples: int
    num_validation_examples: int

    @property
    def owner_id(self) -> str:
        """The dataset."""
        return self.dataset_id


@dataclass(frozen=True, kw_only=True)
class DatasetVersion(DatasetVersionDraft, Numbered):
    """One immutable JSONL file of examples."""

    @classmethod
    def of(cls, draft: DatasetVersionDraft, version: int, create_time: datetime) -> DatasetVersion:
        """Return the version that `draft` becomes."""
        taken = {field.name: getattr(draft, field.name) for field in fields(DatasetVersionDraft)}
        return cls(**taken, version=version, create_time=create_time)


def dataset_version_not_found(text: str) -> NotFound:
    """Return the error for a dataset version that isn't there."""
    return NotFound(f"There is no dataset version {shown(text)}.", "See what there is with `drillyard datasets list`.")
