"""Checkpoints as folders on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.trainer.domain.attempt import Checkpoint
from services.trainer.manifest import newest_verified


class LocalCheckpoints:
    """One folder per job below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, training_job_id: str) -> Path:
        """Return the place of a job's checkpoints."""
        return self._root / training_job_id

    async def newest(self, training_job_id: str, config_digest: str) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """Return the newest checkpoint whose every byte verifies, and a sentence for each that did not.

        Those that did not are set aside; folders without a manifest are removed.
        """
        found, sentences = await asyncio.to_thread(newest_verified, self.folder(training_job_id), config_digest)
        return found, tuple(sentences)
