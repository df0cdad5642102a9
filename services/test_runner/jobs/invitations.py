"""How a process asks others of its service for help with a run, and what those must have in common with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.jobs import JobStore, Json
from services.test_runner.domain.test_run import KIND, SHARE_KIND, Environment, RunInputs, TestRunSpec

_PROCESSOR = re.compile(r"^(?:model name|flags|Features|CPU part|Model)\s*:.*$", re.MULTILINE)


@dataclass(frozen=True)
class Likeness:
    """What processes have in common that read a run's documents alike and whose processors round alike."""

    release: str
    processors: str

    @classmethod
    @cache
    def here(cls) -> Likeness:
        """Return that of this process."""
        contract = import_module(TestRunSpec.MESSAGE.rpartition(".")[0])
        forms = (field.name for form in (TestRunSpec, RunInputs, Environment) for field in fields(form))
        files = [Path("/proc/cpuinfo"), *Path("/proc/driver/nvidia/gpus").glob("*/information")]
        lines = (line for file in files if file.exists() for line in _PROCESSOR.findall(file.read_text()))
        return cls(
            _digest((version("drillyard"), contract.DESCRIPTOR.serialized_pb.hex(), *forms)), _digest(sorted({*lines}))
        )

    @classmethod
    def of(cls, document: Json) -> Likeness:
        """Return that which an invitation names."""
        return cls(document.get("release", ""), document.get("processors", ""))

    def check(self, other: Likeness, *, computes: bool) -> None:
        """Return when a process like this can help one like another; only one that `computes` needs its processors.

        Raises:
            FailedPrecondition: It cannot.
        """
        if self.release != other.release:
            raise FailedPrecondition(
                "This replica is of another release than the one that holds the run.",
                "Wait until all replicas are of one release.",
            )
        if computes and self.processors != other.processors:
            raise FailedPrecondition(
                "This replica has other processors than the one that holds the run.",
                "Give all replicas the same kind of machine.",
            )


@dataclass(frozen=True)
class Sharing:
    """What a service of several processes shares of its runs.

    Attributes:
        jobs: The service's.
        kinds: The runs that others are asked to help with: none, those of weights, or also those at endpoints, each of
            which then asks as much at once as the run allows.
    """

    jobs: JobStore
    kinds: Literal["none", "weights", "all"]

    def covers(self, spec: TestRunSpec) -> bool:
        """Return whether others are asked to help with the run."""
        return self.kinds == "all" or (self.kinds == "weights" and spec.endpoint is None)


class Invitations:
    """Asks other processes of the service for help with a run, one at a time: each that comes asks the next.

    Args:
        jobs: The service's jobs, of which an invitation is one.
        test_run_id: The run.
        epoch: The run's epoch in which the first was sent.
        likeness: What the process has that holds the run.
        number: How many were sent before.
        is_wanted: Whether any are to be sent.
    """

    def __init__(
        self,
        jobs: JobStore,
        test_run_id: str,
        *,
        epoch: int,
        likeness: Likeness,
        number: int = 0,
        is_wanted: bool = True,
    ) -> None:
        self._jobs, self._test_run_id, self._likeness = jobs, test_run_id, likeness
        self._epoch, self._number = epoch, number + 1
        self._is_sent = not is_wanted

    async def send(self) -> None:
        """Ask one more process, unless this was done or none is wanted."""
        if self._is_sent:
            return
        self._is_sent = True
        run_id, name = self._test_run_id, f"{self._epoch}-{self._number}"
        spec = {"test_run_id": run_id, "epoch": self._epoch, "number": self._number, **asdict(self._likeness)}
        share = await self._jobs.create(SHARE_KIND, f"{run_id}/{name}", spec, job_id=f"{run_id}-share-{name}")
        try:
            await self._jobs.get(run_id)
        except NotFound:
            # The run was deleted, with all shares that it had then.
            if (await self._jobs.request_cancel(share.job_id)).is_final:
                await self._jobs.delete(share.job_id)

    async def is_place_wanted(self) -> bool:
        """Return whether a run waits for a process that works on none, or has lost the one that it had."""
        return await self._jobs.has_claimable([KIND])


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
