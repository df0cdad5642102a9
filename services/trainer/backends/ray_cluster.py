"""Training in a Ray cluster that somebody else keeps: a process here is its driver, the workers run there.

Their machines see the trainer's data folder under the same path, have this package installed, and reach the trainer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.chassis.errors import Unavailable
from services.trainer.backends.ray_local import Launch, RayLocalBackend
from services.trainer.domain.plan import AttemptPlan

_CONNECT_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost")


class RayClusterBackend(RayLocalBackend):
    """Hands plans to a driver of the cluster; when the driver ends, Ray ends what it started there."""

    def __init__(
        self,
        attempts_folder: Path,
        token_file: Path | None = None,
        *,
        address: str,
        ray_token_file: Path | None = None,
        warm_seconds: float = 0.0,
    ) -> None:
        """The cluster answers at `address`, host:port or ray://host:port, whom knows the token in `ray_token_file`."""
        super().__init__(attempts_folder, token_file, warm_seconds=warm_seconds)
        self._address = address
        self._host, _, self._port = address.removeprefix("ray://").rpartition(":")
        self._token = ray_token_file

    def launch_of(self, plan: AttemptPlan) -> Launch:
        """Return how a driver is started."""
        environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token)} if self._token else {}
        if self._host in _LOOPBACK:
            # Ray would else go to another interface of this machine, where a cluster on loopback does not answer.
            environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        return Launch(
            num_processes=1,
            num_threads=plan.num_threads,
            options=(f"--ray-address={self._address}",),
            environment=tuple(environment.items()),
        )

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        """Write the files that an attempt begins with, and return its plan with the places of them.

        Raises:
            Unavailable: The cluster does not answer now.
            ResourceExhausted: The disk has no room for them now; nothing of them stays.
        """
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(self._host, int(self._port))
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"The Ray cluster at {self._address} does not answer.",
                "Start it, or set TRAINER_RAY_ADDRESS to where it is; the job waits.",
            ) from error
        writer.close()
        return await super().prepare(plan)
