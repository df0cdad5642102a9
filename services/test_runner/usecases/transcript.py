"""What callers may do with transcripts."""

from services.chassis.errors import InvalidArgument, NotFound
from services.chassis.jobs import JobStore
from services.chassis.wire.paging import checked_page_size, place_of, token_of
from services.test_runner.domain.transcript import Transcript
from services.test_runner.ports.store import RunStore
from services.test_runner.usecases.test_run import test_runs

_CHUNK = 50
_MAX_PAGE_BYTES = 8 * 1024 * 1024


class TranscriptUseCases:
    """One method per RPC, in the terms of the domain."""

    def __init__(self, *, jobs: JobStore, store: RunStore) -> None:
        self._runs = test_runs(jobs, store)
        self._store = store

    async def get_transcript(self, transcript_id: str) -> Transcript:
        """Return a transcript.

        Raises:
            NotFound: There is none.
        """
        transcript = await self._store.get_transcript(transcript_id)
        if transcript is None:
            raise NotFound(
                f"There is no transcript {transcript_id[:100]!r}.", "List the run's transcripts to see their ids."
            )
        return transcript

    async def list_transcripts(
        self, test_run_id: str, *, page_size: int, page_token: str, after_sequence: int
    ) -> tuple[list[Transcript], str]:
        """Return transcripts in their order, and the token of the next page, empty when there is none yet.

        A page ends early where it would grow above 8 MiB.
        """
        most = checked_page_size(page_size)
        after = _after(page_token, after_sequence)
        await self._runs.job(test_run_id)
        page: list[Transcript] = []
        size = 0
        while True:
            chunk = await self._store.list_transcripts(test_run_id, after, min(_CHUNK, most - len(page) + 1))
            for item in chunk:
                if len(page) == most or (page and size + item.size_bytes > _MAX_PAGE_BYTES):
                    return page, token_of(after)
                page.append(item)
                size, after = size + item.size_bytes, item.sequence
            if not chunk:
                return page, ""


def _after(page_token: str, after_sequence: int) -> int:
    if after_sequence < 0:
        raise InvalidArgument(
            "after_sequence is negative.", "Use the sequence of a transcript, or 0.", field="after_sequence"
        )
    return max(place_of(page_token, 0), after_sequence)
