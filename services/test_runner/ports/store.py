"""Where runs and their transcripts are kept."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from services.test_runner.domain.test_run import Claim, Environment, Hold, RunRecord
from services.test_runner.domain.transcript import Transcript


class RunStore(Protocol):
    """Keeps runs and their transcripts."""

    async def add_run(self, record: RunRecord) -> RunRecord:
        """Store a run, or return the one that is stored under its id already."""
        ...

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        ...

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return those of the runs that are stored, by id."""
        ...

    async def append_window(
        self, test_run_id: str, hold: Hold, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        """Store the transcripts of one window, all or none, and return the run with its new counts.

        Raises:
            FailedPrecondition: The job or its window was taken over by another process since, the run has ended, the
                window does not follow what is stored, or another environment is fixed for it.
        """
        ...

    async def set_environment(self, test_run_id: str, hold: Hold, environment: Environment) -> RunRecord:
        """Fix what generates all answers of a run, unless any are stored, and return the run.

        Raises:
            FailedPrecondition: The job was taken over by another process.
        """
        ...

    async def note_help(self, test_run_id: str, job_id: str, seconds: float) -> None:
        """Keep for how long a share of a run was worked on up to now; nothing happens when the run is gone."""
        ...

    async def take_window(self, test_run_id: str, hold: Hold, num_windows: int) -> Claim:
        """Claim the first window of `num_windows` that is neither stored nor held by a hold that lasts.

        A hold has one at a time; asked again it gets the same until that is stored. There is no new one while the run
        is to pause or cancel, nor for a share while nobody holds the run itself.

        Raises:
            FailedPrecondition: The job was taken over by another process, or the run has ended.
        """
        ...

    async def delete_run(self, test_run_id: str) -> None:
        """Remove a run with its transcripts and shares; nothing happens when it is not there."""
        ...

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        ...

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        ...

    async def find_transcripts(self, test_run_id: str, case_ids: Collection[str]) -> tuple[Transcript, ...]:
        """Return the transcripts of these cases, all repeats."""
        ...

    async def stored_cases(self, test_run_id: str) -> frozenset[tuple[str, int]]:
        """Return case and repeat of every transcript of a run."""
        ...
