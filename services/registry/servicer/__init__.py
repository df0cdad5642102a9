"""The RPCs of the registry; each turns a request into domain terms, calls its use case, and turns the answer back."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.registry.v1.registry_service_pb2_grpc import RegistryServiceServicer

from services.registry.servicer.dataset import DatasetImportRpcs, DatasetRowRpcs, DatasetRpcs
from services.registry.servicer.deployment import DeploymentRpcs
from services.registry.servicer.model import ImportRpcs, ModelRpcs
from services.registry.servicer.shipping import ExportRpcs, PublicationRpcs
from services.registry.servicer.test_suite import TestSuiteRpcs
from services.registry.usecases.dataset import DatasetUseCases
from services.registry.usecases.dataset_import import DatasetImportUseCases
from services.registry.usecases.dataset_rows import DatasetRowUseCases
from services.registry.usecases.deployment import AliasUseCases, DeploymentUseCases
from services.registry.usecases.export import ExportUseCases
from services.registry.usecases.model import ModelUseCases
from services.registry.usecases.model_import import ImportUseCases
from services.registry.usecases.publication import PublicationUseCases
from services.registry.usecases.test_suite import TestSuiteUseCases

SERVICE_NAME = "drillyard.registry.v1.RegistryService"


@dataclass(frozen=True)
class RegistryServicer(
    ModelRpcs,
    ImportRpcs,
    DatasetRpcs,
    DatasetImportRpcs,
    DatasetRowRpcs,
    TestSuiteRpcs,
    ExportRpcs,
    PublicationRpcs,
    DeploymentRpcs,
    RegistryServiceServicer,
):
    """All RPCs of the service."""

    models: ModelUseCases
    imports: ImportUseCases
    datasets: DatasetUseCases
    dataset_imports: DatasetImportUseCases
    dataset_rows: DatasetRowUseCases
    test_suites: TestSuiteUseCases
    exports: ExportUseCases
    publications: PublicationUseCases
    deployments: DeploymentUseCases
    aliases: AliasUseCases
