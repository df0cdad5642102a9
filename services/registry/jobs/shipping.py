"""Wiring of exports and publications."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.application import Application
from services.chassis.errors import InvalidArgument
from services.chassis.machine.guarded_http import open_client
from services.chassis.machine.hosts import HostPolicy
from services.protocols.profile import UnknownProfile, get_profile
from services.registry.domain.export import EXPORT_KIND, ExportForm
from services.registry.domain.model_import import IMPORT_KIND
from services.registry.domain.publication import PUBLICATION_KIND, DestinationKind
from services.registry.importers.inspection import FolderFacts
from services.registry.importers.workspace import Workspace
from services.registry.jobs.dataset_folder import DatasetFolders
from services.registry.jobs.export import ExportJob
from services.registry.jobs.exporters.folders import AdapterWriter, MergedWriter
from services.registry.jobs.exporters.gguf import GgufAdapterWriter, GgufWriter
from services.registry.jobs.exporters.ollama import OllamaWriter
from services.registry.jobs.publication import PublicationJob
from services.registry.jobs.publishers.folder import FolderPublisher
from services.registry.jobs.publishers.hub import HubPublisher
from services.registry.jobs.publishers.oci import OciPublisher
from services.registry.jobs.publishers.ollama import OllamaPublisher, OllamaRegistryPublisher, usual_store
from services.registry.ports import FormWriter, Publisher
from services.registry.ports.stores import ModelStore
from services.registry.settings import RegistrySettings
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.export import ExportUseCases
from services.registry.usecases.model import JobUses
from services.registry.usecases.publication import PublicationUseCases


@dataclass(frozen=True)
class Shipping:
    """The use cases of exports and publications, and the versions that they use now."""

    exports: ExportUseCases
    publications: PublicationUseCases
    uses: JobUses


def wire_shipping(
    application: Application,
    settings: RegistrySettings,
    models: ModelStore,
    *,
    policy: HostPolicy,
    adoption: Adoption,
    datasets: DatasetUseCases,
) -> Shipping:
    """Choose the writers and the publishers, and let the application's runner do both kinds of jobs."""
    workspace = Workspace(settings.service_dir("registry") / "exports", "export")
    if application.database.is_sqlite:
        workspace.clear()
    application.garbage.add(workspace.garbage)
    jobs, artifacts, runner = application.jobs.store, application.artifacts, application.jobs.runner
    writers, publishers = form_writers(), _publishers(settings, policy)
    export_job = ExportJob(writers, models, artifacts, adoption, FolderFacts(), workspace, profile_digest)
    runner.register(EXPORT_KIND, export_job.run, limit=settings.num_exports)
    publication_job = PublicationJob(publishers, models, artifacts, DatasetFolders(datasets, workspace), workspace)
    runner.register(PUBLICATION_KIND, publication_job.run, limit=settings.num_exports, cleanup=publication_job.clean_up)
    return Shipping(
        ExportUseCases(jobs, models, writers, check_profile),
        PublicationUseCases(jobs, models, datasets, publishers),
        JobUses(jobs, (EXPORT_KIND, PUBLICATION_KIND, IMPORT_KIND)),
    )


def form_writers() -> dict[ExportForm, FormWriter]:
    """Return what writes each form."""
    return {
        ExportForm.ADAPTER: AdapterWriter(profile_digest),
        ExportForm.MERGED: MergedWriter(),
        ExportForm.GGUF: GgufWriter(),
        ExportForm.GGUF_ADAPTER: GgufAdapterWriter(),
        ExportForm.OLLAMA: OllamaWriter(GgufWriter()),
    }


def _publishers(settings: RegistrySettings, policy: HostPolicy) -> dict[DestinationKind, Publisher]:
    client = open_client(policy.trusted_hosts, uses_proxies=True)
    return {
        DestinationKind.FOLDER_PATH: FolderPublisher(settings.publish_roots),
        DestinationKind.OLLAMA_NAME: OllamaPublisher(usual_store(), client, policy, settings.publish_roots),
        DestinationKind.OLLAMA_REGISTRY: OllamaRegistryPublisher(client, policy),
        DestinationKind.HUB_ID: HubPublisher(policy),
        DestinationKind.OCI_REFERENCE: OciPublisher(client, policy),
    }


def profile_digest(profile_id: str) -> str:
    """Return the digest of a profile's source and data; empty for an empty id."""
    return get_profile(profile_id).digest if profile_id else ""


def check_profile(profile_id: str) -> None:
    """Raise InvalidArgument for the id of no profile; an empty one is none."""
    try:
        profile_digest(profile_id)
    except UnknownProfile as error:
        raise InvalidArgument(
            f"There is no protocol {profile_id[:80]!a}.",
            "See what there is with `drillyard protocols list`.",
            field="profile_id",
        ) from error
