"""The test suites that no row may be near to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.chassis.errors import NotFound
from services.trainer.domain.inputs import Artifact
from services.trainer.domain.preflight import SuiteFile
from services.trainer.ports import Registry


async def suite_files(registry: Registry, place_of: Callable[[Artifact], Awaitable[str]]) -> tuple[SuiteFile, ...]:
    """Return the cases of all suites that test, each at its place; one that was deleted meanwhile is left out.

    Raises:
        Unavailable: The registry, or the artifact store, is away.
    """
    files = []
    for name, artifact in await registry.list_suites():
        try:
            files.append(SuiteFile(name, await place_of(artifact), artifact.digest))
        except NotFound:
            continue
    return tuple(files)
