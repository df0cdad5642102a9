"""The test suites that no row may be near to, as files on this machine."""

from __future__ import annotations

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import NotFound
from services.trainer.domain.preflight import SuiteFile
from services.trainer.ports import Registry


async def suite_files(registry: Registry, artifacts: ArtifactStore) -> tuple[SuiteFile, ...]:
    """Return the cases of all suites that test; one that was deleted meanwhile is left out.

    Raises:
        Unavailable: The registry, or the artifact store, is away.
    """
    files = []
    for name, artifact in await registry.list_suites():
        try:
            files.append(SuiteFile(name, str(await artifacts.local_path(artifact.uri)), artifact.digest))
        except NotFound:
            continue
    return tuple(files)
