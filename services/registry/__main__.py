"""Runs the registry: `python -m services.registry`."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path

from drillyard.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server

from services.chassis.application import Application, run
from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.machine.hosts import HostPolicy, HostVariables
from services.chassis.machine.llama_server import llama_server_command
from services.chassis.machine.secrets import Secrets, deployment_secret
from services.chassis.settings import load_settings
from services.chassis.waiting import Places
from services.protocols.profile import get_profile, profile_ids
from services.registry.deployers.kubernetes import KubernetesApi, KubernetesDeployer, llama_server, vllm
from services.registry.deployers.kubernetes_objects import Cluster
from services.registry.deployers.llama_server import LlamaServerDeployer
from services.registry.deployers.worker import WorkerDeployer
from services.registry.domain.dataset import DATASET_IMPORT_KIND
from services.registry.domain.deployment import DeploymentBackend
from services.registry.domain.model_import import IMPORT_KIND, ModelForm, SourceKind, import_of
from services.registry.domain.test_suite import BuiltInSuite
from services.registry.downloads.download import Downloader
from services.registry.importers.adapter import AdapterImporter, check_fit
from services.registry.importers.folder import FolderImporter
from services.registry.importers.gguf import GgufImporter
from services.registry.importers.inspection import FolderFacts
from services.registry.importers.rows.conversion import RowFiles
from services.registry.importers.sources.artifact import ArtifactSource
from services.registry.importers.sources.hub import HubSource
from services.registry.importers.sources.local import FolderPath, GgufPath
from services.registry.importers.sources.url import UrlSource
from services.registry.importers.suites import SUITE_READERS
from services.registry.importers.workspace import Workspace
from services.registry.jobs.adapter_base import AdapterBases
from services.registry.jobs.dataset_import import DatasetImportJob
from services.registry.jobs.model_import import ImportJob
from services.registry.jobs.shipping import wire_shipping
from services.registry.oci.pulling import OciSource
from services.registry.ollama.pulling import OllamaSource
from services.registry.ports import Deployers, Importer, ModelSource
from services.registry.ports.stores import ModelStore
from services.registry.servicer import SERVICE_NAME, RegistryServicer
from services.registry.settings import RegistrySettings
from services.registry.store.aliases import SqlAliasStore
from services.registry.store.claims import SqlClaims
from services.registry.store.datasets import SqlDatasetStore
from services.registry.store.deployments import SqlDeploymentStore
from services.registry.store.models import SqlModelStore
from services.registry.store.test_suites import SqlTestSuiteStore
from services.registry.store.versions import kept_bytes
from services.registry.telemetry import RegistryTelemetry
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_import import DatasetImportUseCases
from services.registry.usecases.dataset_rows import DatasetRowUseCases
from services.registry.usecases.deployment import AliasUseCases, DeploymentUseCases
from services.registry.usecases.export import ExportUseCases
from services.registry.usecases.model import ModelUseCases
from services.registry.usecases.model_import import ImportUseCases
from services.registry.usecases.reconciliation import Reconciler
from services.registry.usecases.test_suite import TestSuiteUseCases

NAME = "registry"
# Files of cases and rows that are checked line by line.
_FILES_AT_ONCE = 2
# A long import leaves a place to callers who wait for the answer.
_DATASETS_AT_ONCE = 1
_WAITING_FILES = 32
_HOST_VARIABLES = HostVariables("REGISTRY_SOURCE_HOSTS", "REGISTRY_SECRET_HOSTS")
IMPORTERS: dict[ModelForm, Importer] = {
    ModelForm.GGUF: GgufImporter(),
    ModelForm.FOLDER: FolderImporter(),
    ModelForm.ADAPTER: AdapterImporter(),
}
MIGRATIONS = Path(__file__).parent / "store" / "migrations"


async def wire(application: Application, settings: RegistrySettings) -> None:
    """Choose the adapters and connect them."""
    artifacts, files = application.artifacts, FolderFacts()
    models = SqlModelStore(application.database)
    datasets = SqlDatasetStore(application.database)
    test_suites = SqlTestSuiteStore(application.database)
    adoption = Adoption(artifacts, SqlClaims(application.database))
    policy = host_policy(settings)
    sources = model_sources(settings, artifacts, policy)
    workspace = Workspace(settings.service_dir(NAME) / "imports")
    if application.database.is_sqlite:
        workspace.clear()
    bases = AdapterBases(models, artifacts, check_fit, workspace)
    job = ImportJob(sources, IMPORTERS, models, adoption, files, workspace, bases)
    add_import_job(application, job, limit=settings.num_imports)
    checked = Places("files", num_running=_FILES_AT_ONCE, num_waiting=_WAITING_FILES)
    suites = TestSuiteUseCases(
        test_suites, artifacts, adoption=adoption, files=checked, readers=SUITE_READERS, built_in=built_in_suites()
    )
    stored = DatasetUseCases(datasets, artifacts, adoption=adoption, files=checked, row_files=RowFiles(workspace))
    shipping = wire_shipping(application, settings, models, policy=policy, adoption=adoption, datasets=stored)
    application.usage.kept_bytes = partial(kept_bytes, application.database)
    application.on_start(adoption.collect)
    application.garbage.add(adoption.garbage, workspace.garbage)
    application.on_start(suites.register_built_in)
    versions = ModelUseCases(models, artifacts, adoption=adoption, files=files, users=(shipping.uses,))
    application.jobs.runner.register(DATASET_IMPORT_KIND, DatasetImportJob(stored).run, limit=_DATASETS_AT_ONCE)
    servicer = RegistryServicer(
        models=versions,
        imports=ImportUseCases(application.jobs.store, sources, models),
        datasets=stored,
        dataset_imports=DatasetImportUseCases(application.jobs.store),
        dataset_rows=DatasetRowUseCases(stored, datasets, artifacts, adoption=adoption),
        test_suites=suites,
        exports=shipping.exports,
        publications=shipping.publications,
        deployments=add_deployments(application, settings, versions, models, suites, shipping.exports),
        aliases=AliasUseCases(SqlAliasStore(application.database), versions),
    )
    application.add_servicer(add_RegistryServiceServicer_to_server, servicer, SERVICE_NAME)


def add_import_job(application: Application, job: ImportJob, *, limit: int) -> None:
    """Let the application's runner do imports, and time them."""
    telemetry = RegistryTelemetry(application.telemetry)

    async def run_import(context: JobContext) -> Json:
        async with telemetry.import_timed(import_of(context.job).source.kind):
            return await job.run(context)

    application.jobs.runner.register(IMPORT_KIND, run_import, limit=limit, cleanup=job.clean_up)


def host_policy(settings: RegistrySettings) -> HostPolicy:
    """Return which hosts may be asked, and which may see which secret."""
    secrets = Secrets(settings.env_prefix, settings.secrets_dir)
    return HostPolicy(settings.source_hosts, secrets, settings.secret_hosts, variables=_HOST_VARIABLES)


def model_sources(
    settings: RegistrySettings, artifacts: ArtifactStore, policy: HostPolicy
) -> dict[SourceKind, ModelSource]:
    """Return the places from which models come."""
    downloader = Downloader(policy)
    stores = [store.expanduser() for store in settings.ollama_stores]
    return {
        SourceKind.GGUF_PATH: GgufPath(settings.import_roots),
        SourceKind.FOLDER_PATH: FolderPath(settings.import_roots),
        SourceKind.HUB_ID: HubSource(policy, downloader),
        SourceKind.URL: UrlSource(policy, downloader),
        SourceKind.ARTIFACT: ArtifactSource(artifacts),
        SourceKind.OLLAMA_TAG: OllamaSource(policy, downloader, stores),
        SourceKind.OCI_REFERENCE: OciSource(policy, downloader),
    }


def add_deployments(
    application: Application,
    settings: RegistrySettings,
    versions: ModelUseCases,
    models: ModelStore,
    suites: TestSuiteUseCases,
    exports: ExportUseCases,
) -> DeploymentUseCases:
    """Let the application look after deployments by the backends that this installation has."""
    store = SqlDeploymentStore(application.database)
    deployers: Deployers = {
        DeploymentBackend.WORKER: WorkerDeployer(),
        **cluster_deployers(settings),
        **local_deployers(application, settings),
    }
    owner = f"{socket.gethostname()}:{os.getpid()}"
    lease_seconds = application.settings.lease_seconds
    reconciler = Reconciler(store, models, deployers, owner=owner, lease_seconds=lease_seconds)
    application.keep_doing("look_after_deployments", reconciler.run)
    backends, wake = deployers.keys(), reconciler.wake
    return DeploymentUseCases(store, versions, suites, backends=backends, wake=wake, profile_of=exports.profile_of)


def local_deployers(application: Application, settings: RegistrySettings) -> Deployers:
    """Return what serves versions as children of this process; that is of use where all services are on one machine."""
    if not application.database.is_sqlite or settings.kubernetes_namespace:
        return {}
    try:
        command = llama_server_command(settings.llama_server, variable="REGISTRY_LLAMA_SERVER")
    except FailedPrecondition:
        return {}

    def key_of(deployment_id: str) -> str:
        return application.token.key_of(deployment_secret(deployment_id)) if application.token else ""

    return {DeploymentBackend.LLAMA_SERVER: LlamaServerDeployer(application.artifacts.local_path, command, key_of)}


def cluster_deployers(settings: RegistrySettings) -> Deployers:
    """Return what serves versions in the cluster, if there is one."""
    if not settings.kubernetes_namespace:
        return {}
    api = KubernetesApi(settings.kubernetes_namespace, settings.kubernetes_config)
    cluster = Cluster(
        namespace=settings.kubernetes_namespace,
        owner=settings.kubernetes_owner,
        labels=settings.kubernetes_labels,
        claim=settings.kubernetes_claim,
        same_node=settings.kubernetes_same_node,
        mount_path=str(settings.data_dir.resolve()),
        fetch_image=settings.kubernetes_fetch_image,
        secret=settings.kubernetes_secret,
    )
    return {
        DeploymentBackend.KUBERNETES_VLLM: KubernetesDeployer(api, cluster, vllm(settings.vllm_image)),
        DeploymentBackend.KUBERNETES_LLAMA_SERVER: KubernetesDeployer(
            api, cluster, llama_server(settings.llama_server_image)
        ),
    }


def built_in_suites() -> tuple[BuiltInSuite, ...]:
    """Return the suites of all profiles."""
    return tuple(
        BuiltInSuite(suite.suite_id, suite.version, suite.text.encode("utf-8"), suite.provenance)
        for profile_id in profile_ids()
        for suite in get_profile(profile_id).suites()
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load_settings(RegistrySettings)
    run(NAME, settings, lambda application: wire(application, settings), migrations=MIGRATIONS)


if __name__ == "__main__":
    main()
