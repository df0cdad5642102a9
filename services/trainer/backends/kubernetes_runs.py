"""The objects of attempts in a cluster: RayJobs where KubeRay is installed, else Jobs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from services.chassis.errors import Unavailable
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.chassis.machine.kubernetes.mirror import Mirror

_NOTHING = 404


@dataclass(frozen=True)
class RunKind:
    """How objects of a kind are called for.

    Attributes:
        api: The API class.
        method: The end of its methods' names.
        before, behind: What these take before the namespace, and behind it.
    """

    api: str
    method: str
    before: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


RAY_JOB = RunKind("CustomObjectsApi", "namespaced_custom_object", ("ray.io", "v1"), ("rayjobs",))
JOB = RunKind("BatchV1Api", "namespaced_job")


class Runs:
    """Calls for the objects of one kind in a namespace."""

    def __init__(self, client: KubernetesClient, kind: RunKind) -> None:
        self.kind = kind
        self._client = client
        self._place = (*kind.before, client.namespace, *kind.behind)

    def mirror(self, selector: str) -> Mirror:
        """Return a copy of those that a label selects, which is not started."""
        return Mirror(self._client, self.kind.api, f"list_{self.kind.method}", *self._place, selector=selector)

    async def create(self, manifest: Manifest) -> Manifest | None:
        """Make an object; None where one of its name is there. Cancelled, it returns when that is settled."""
        create = f"create_{self.kind.method}"
        call = self._client.call(self.kind.api, create, *self._place, manifest, absent=HTTPStatus.CONFLICT)
        creation = asyncio.ensure_future(call)
        try:
            return await asyncio.shield(creation)
        finally:
            # A call that is under way cannot be taken back: who deletes the object must come after it.
            await asyncio.gather(creation, return_exceptions=True)

    async def list(self, selector: str) -> list[Manifest]:
        """Return those that a label selects, as they are now."""
        listing = await self._client.call(
            self.kind.api, f"list_{self.kind.method}", *self._place, label_selector=selector
        )
        return list((listing or {}).get("items") or ())

    async def delete(self, name: str) -> None:
        """Delete an object, and in the background what it made; nothing happens when it is not there."""
        place = (*self._place, name) if self.kind.before else (name, *self._place)
        delete = f"delete_{self.kind.method}"
        await self._client.call(self.kind.api, delete, *place, propagation_policy="Background", absent=_NOTHING)


async def runs_of(client: KubernetesClient) -> tuple[Runs, ...]:
    """Return the kinds that the cluster has; attempts are of the first."""
    has_ray_jobs = await client.has_resource("ray.io", "v1", "rayjobs")
    return (Runs(client, RAY_JOB), Runs(client, JOB)) if has_ray_jobs else (Runs(client, JOB),)


def stuck(name: str, kind: RunKind) -> Unavailable:
    """Return the error for an object that does not go."""
    operator = "the KubeRay operator" if kind is RAY_JOB else "the cluster's controllers"
    return Unavailable(f"The cluster does not remove {name}.", f"Look whether {operator} runs.")
