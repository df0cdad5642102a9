"""Looks at a training that does not exist yet: what it reads, what it takes, and how long it may last."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from pathlib import Path

from services.chassis.jobs import JobStore
from services.chassis.wire import from_document, to_document
from services.trainer.domain.inputs import TrainingInputs
from services.trainer.domain.preflight import (
    DiskEstimate,
    DurationEstimate,
    PreflightRequest,
    RowsReport,
    TrainingPreflight,
)
from services.trainer.domain.spec import KIND, TrainingJobSpec, TrainingMethod
from services.trainer.jobs.adapters import Adapters
from services.trainer.jobs.inputs import suite_files
from services.trainer.ports import RowsReader

# A page that waits for an answer shows it before a person asks whether it is broken.
_LOOK_SECONDS = 4.0
_MAX_JOBS, _MAX_POINTS = 50, 200
_SPEED = "tokens_per_second"
# Of two settings that differ in one of these, neither tells how fast the other is.
_DECISIVE = ("method", "trained_weights", "num_workers", "dtype", "gradient_checkpointing", "load_in_4bit")


class Preflight:
    """Puts together what the registry, the process that reads rows, the disk and earlier jobs tell."""

    def __init__(self, to: Adapters, jobs: JobStore, rows: RowsReader, *, folder: Path, dtype: str) -> None:
        """Checkpoints are written below `folder`; `dtype` is what is computed in where a spec leaves it open."""
        self._jobs = jobs
        self._store = to.store
        self._inputs = to.inputs
        self._registry = to.registry
        self._artifacts = to.artifacts
        self._rows = rows
        self._folder = folder
        self._dtype = dtype

    async def look(self, spec: TrainingJobSpec, line: int) -> TrainingPreflight:
        """Return what is known by now.

        Raises:
            InvalidArgument: The values of the spec do not fit each other.
            NotFound: The model version, the dataset version or the checkpoint of a fork does not exist.
            FailedPrecondition: The model cannot be trained, or the dataset has no example.
        """
        spec.check()
        inputs = await self._inputs.resolve(spec)
        suites = await suite_files(self._registry, lambda artifact: self._local(artifact.uri))
        rows = await self._rows.look(
            PreflightRequest(
                spec=to_document(spec),
                base_folder=await self._local(inputs.base.uri),
                base_digest=inputs.base.digest,
                dataset_file=await self._local(inputs.dataset.uri),
                dataset_digest=inputs.dataset.digest,
                suites=suites,
                line=line,
                dtype=self._dtype,
                seconds=_LOOK_SECONDS,
                adapter_folder=await self._local(inputs.adapter.uri) if inputs.adapter else "",
            )
        )
        return TrainingPreflight(
            inputs.model_version_id,
            inputs.dataset_version_id,
            rows,
            await asyncio.to_thread(self._disk, spec, rows),
            await self._duration(spec, inputs, rows),
        )

    async def _local(self, uri: str) -> str:
        return str(await self._artifacts.local_path(uri))

    def _disk(self, spec: TrainingJobSpec, rows: RowsReport) -> DiskEstimate:
        # One more is whole before the oldest goes.
        needed = (spec.save_total_limit + 1) * rows.checkpoint_bytes + rows.result_bytes
        return DiskEstimate(needed, shutil.disk_usage(self._folder).free, rows.checkpoint_bytes)

    async def _duration(
        self, spec: TrainingJobSpec, inputs: TrainingInputs, rows: RowsReport
    ) -> DurationEstimate | None:
        if not rows.num_steps or rows.shared_prefix is None:
            return None
        if spec.method is TrainingMethod.GRPO:
            # Answers take most of a step, and how long they will be shows while they are drawn.
            return DurationEstimate(rows.num_steps, 0.0, "It depends on how long the model's answers are.")
        measured = await self._measured_speed(spec, inputs)
        if measured is None:
            basis = "No training of this model with like settings has been measured on this machine yet."
            return DurationEstimate(rows.num_steps, 0.0, basis)
        job_id, speed = measured
        tokens = rows.shared_prefix.num_unique_tokens / max(1, rows.num_train_rows) * spec.batch_size
        seconds = rows.num_steps * tokens / speed
        return DurationEstimate(rows.num_steps, seconds, f"By {speed:,.0f} tokens a second, measured in {job_id}.")

    async def _measured_speed(self, spec: TrainingJobSpec, inputs: TrainingInputs) -> tuple[str, float] | None:
        jobs, _ = await self._jobs.list(KIND, _MAX_JOBS)
        known = await self._store.get_inputs([job.job_id for job in jobs])
        for job in jobs:
            read = known.get(job.job_id)
            if read and _are_alike(spec, inputs, from_document(TrainingJobSpec, job.spec), read):
                points = await self._store.list_curve_points(job.job_id, _SPEED, after=(0, ""), limit=_MAX_POINTS)
                if points:
                    return job.job_id, statistics.median(point.value for point in points)
        return None


def _are_alike(spec: TrainingJobSpec, inputs: TrainingInputs, other: TrainingJobSpec, read: TrainingInputs) -> bool:
    return inputs.base.digest == read.base.digest and all(
        getattr(spec, name) == getattr(other, name) for name in _DECISIVE
    )
