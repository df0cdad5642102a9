"""The registry that tests of imports share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.artifacts import ArtifactStore
from services.chassis.jobs import JobRunner, SqlJobStore
from services.registry.__main__ import MIGRATIONS, host_policy, model_sources
from services.registry.domain.model_import import IMPORT_KIND, ModelForm
from services.registry.importers.adapter import AdapterImporter
from services.registry.importers.inspection import FolderFacts
from services.registry.importers.workspace import Workspace
from services.registry.jobs.adapter_base import AdapterBases
from services.registry.jobs.model_import import ImportJob
from services.registry.settings import RegistrySettings
from services.registry.store.claims import SqlClaims
from services.registry.store.models import SqlModelStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.model_import import ImportUseCases
from tests.fakes.databases import new_database
from tests.unit.registry.sources.imports import Gate, Registry, Unconverted


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database, importer = new_database(MIGRATIONS), Gate()
    models, jobs = SqlModelStore(database), SqlJobStore(database)
    artifacts = ArtifactStore((tmp_path / "artifacts").as_uri())
    workspace = Workspace(tmp_path / "imports")
    workspace.clear()
    settings = RegistrySettings(data_dir=tmp_path)
    sources = model_sources(settings, artifacts, host_policy(settings))
    importers = {ModelForm.FOLDER: importer, ModelForm.ADAPTER: AdapterImporter(), ModelForm.GGUF: Unconverted()}
    bases = AdapterBases(models, artifacts, importer.fits, workspace)
    adoption = Adoption(artifacts, SqlClaims(database))
    job = ImportJob(sources, importers, models, adoption, FolderFacts(), workspace, bases)
    runner = JobRunner(jobs, owner="test", is_only_owner=True)
    runner.register(IMPORT_KIND, job.run, cleanup=job.clean_up)
    await runner.start()
    yield Registry(tmp_path, jobs, runner, models, importer, ImportUseCases(jobs, sources, models), artifacts)
    await runner.stop(5.0)
