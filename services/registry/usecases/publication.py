"""Use cases of publications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.chassis.errors import InvalidArgument, Unimplemented
from services.chassis.jobs import JobResource, JobStore, each
from services.chassis.wire.documents import to_document
from services.registry.domain.identifiers import check_request_id
from services.registry.domain.publication import (
    PUBLICATION_KIND,
    DestinationKind,
    Publication,
    PublicationSpec,
    check_kind,
    check_takes_datasets,
    publication_of,
)
from services.registry.ports import Publisher
from services.registry.ports.stores import ModelStore
from services.registry.usecases.dataset import DatasetUseCases


class PublicationUseCases:
    """Starts publications; `resource` does what every kind of job lets callers do."""

    def __init__(
        self,
        jobs: JobStore,
        models: ModelStore,
        datasets: DatasetUseCases,
        publishers: Mapping[DestinationKind, Publisher],
    ) -> None:
        self.resource = JobResource(jobs, PUBLICATION_KIND, "publication", each(publication_of))
        self._models = models
        self._datasets = datasets
        self._publishers = publishers

    async def create(self, request_id: str, spec: PublicationSpec) -> Publication:
        """Store a publication and return it at once.

        Raises:
            NotFound: There is no such version.
            InvalidArgument: The place is none, or takes no version of this kind; or not one version is named.
            Unimplemented: This installation cannot publish there.
            AlreadyExists: The request_id was used with other words.
        """
        check_request_id(request_id)
        if bool(spec.model_version_id) == bool(spec.dataset_version_id):
            raise InvalidArgument(
                "A publication is of one version.",
                "Set model_version_id or dataset_version_id.",
                field="model_version_id",
            )
        whole = await (self._of_dataset(spec) if spec.dataset_version_id else self._of_model(spec))
        self._publisher(spec).check(spec.destination)
        return await self.resource.add(request_id, to_document(whole))

    async def _of_dataset(self, spec: PublicationSpec) -> PublicationSpec:
        version = await self._datasets.get_version(spec.dataset_version_id)
        check_takes_datasets(spec.destination)
        return replace(spec, dataset_version_id=version.version_id)

    async def _of_model(self, spec: PublicationSpec) -> PublicationSpec:
        version = await self._models.named(spec.model_version_id)
        self._publisher(spec)
        check_kind(version, spec.destination)
        return replace(spec, model_version_id=version.version_id)

    def _publisher(self, spec: PublicationSpec) -> Publisher:
        kind = spec.destination.kind
        if kind not in self._publishers:
            raise Unimplemented(f"Nothing is published to {kind.value} here.", "Choose another place.")
        return self._publishers[kind]
