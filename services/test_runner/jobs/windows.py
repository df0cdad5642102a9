"""Where an attempt gets its cases from and puts the transcripts: all of a run, or windows shared with others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol, TypeAlias

from services.chassis.errors import FailedPrecondition
from services.protocols.cases import Case
from services.test_runner.domain.test_run import Environment, Hold, Item, RunRecord, TestRunSpec, items
from services.test_runner.domain.transcript import Transcript
from services.test_runner.jobs.invitations import Invitations
from services.test_runner.ports.generation import BackendFaultError
from services.test_runner.ports.store import RunStore

CaseOf: TypeAlias = Callable[[Item], Awaitable[Case]]
Entries: TypeAlias = list[tuple[Item, Case]]


class Windows(Protocol):
    """The part of a run that one attempt works on.

    Attributes:
        record: the run as it was last read.
        is_shared: whether other processes may work on the run too.
        others_work: whether they do, so that they may leave something.
        is_help: whether another process holds the run, which decides what becomes of cases that break a worker here.
    """

    record: RunRecord
    is_shared: bool
    others_work: bool
    is_help: bool

    @property
    def first_sequence(self) -> int:
        """The sequence of the first transcript of what was taken last."""
        ...

    async def take(self, num_places: int) -> Entries:
        """Return up to so many cases that are to be asked next; none when there are no more for this attempt."""
        ...

    async def prepared(self, environment: Environment) -> None:
        """Take note of what generates, once the model is loaded."""
        ...

    async def append(self, environment: Environment, transcripts: Sequence[Transcript]) -> None:
        """Store transcripts of what was taken."""
        ...


class WholeRun:
    """All that is left of a run, for a process that works on it alone."""

    is_shared = others_work = is_help = False

    def __init__(self, store: RunStore, record: RunRecord, spec: TestRunSpec, *, epoch: int, case_of: CaseOf) -> None:
        self.record = record
        self._store, self._spec, self._case_of = store, spec, case_of
        self._hold = Hold(record.test_run_id, epoch)
        self._plan = self._left()

    @property
    def first_sequence(self) -> int:
        """The sequence after all that are stored."""
        return self.record.num_transcripts + 1

    async def take(self, num_places: int) -> Entries:
        """Return the next cases of the plan."""
        entries: Entries = []
        while len(entries) < num_places and (entry := await anext(self._plan, None)):
            entries.append(entry)
        return entries

    async def prepared(self, environment: Environment) -> None:
        """Wait for the first window, which fixes what generates the others."""

    async def append(self, environment: Environment, transcripts: Sequence[Transcript]) -> None:
        """Store transcripts behind those that are stored."""
        self.record = await self._store.append_window(self._hold.job_id, self._hold, environment, transcripts)

    async def _left(self) -> AsyncIterator[tuple[Item, Case]]:
        """Yield what is left; windows are stored in the order of the plan, and in the throughput mode by their case."""
        stored: frozenset[tuple[str, int]] = frozenset()
        num_done = self.record.num_transcripts
        if self._spec.throughput:
            stored, num_done = await self._store.stored_cases(self.record.test_run_id), 0
        for item in items(self.record.inputs.num_cases, self._spec.num_repeats, num_done=num_done):
            case = await self._case_of(item)
            if (case.case_id, item.repeat) not in stored:
                yield item, case


class SharedRun:
    """Windows of a run of which other processes may take shares, while the one that holds it works on it too.

    A window is what it would be if one process did all: a number says which cases it has, and its transcripts get the
    sequences that they would have. Others are invited once the model is loaded and what generates is fixed.
    """

    is_shared, is_help = True, False

    def __init__(
        self,
        store: RunStore,
        record: RunRecord,
        spec: TestRunSpec,
        *,
        hold: Hold,
        invitations: Invitations,
        case_of: CaseOf,
    ) -> None:
        self._store, self._spec, self._case_of = store, spec, case_of
        self._hold, self._invitations = hold, invitations
        self.record, self.others_work = self._free(record), False

    @property
    def first_sequence(self) -> int:
        """The sequence of the window's first transcript."""
        assert self._hold.window is not None
        return self._hold.window * self.record.inputs.window_size + 1

    async def take(self, num_places: int) -> Entries:
        """Return the cases of the next window that nobody has, however many places there are."""
        size = self.record.inputs.window_size
        num_windows = -(-num_total_of(self.record, self._spec) // size)
        claim = await self._store.take_window(self.record.test_run_id, self._hold, num_windows)
        self.record, self.others_work = self._free(claim.record), claim.num_others > 0
        if claim.window is None:
            return []
        self._hold = replace(self._hold, window=claim.window)
        following = items(self.record.inputs.num_cases, self._spec.num_repeats, num_done=claim.window * size)
        return [(item, await self._case_of(item)) for item in islice(following, size)]

    async def prepared(self, environment: Environment) -> None:
        """Fix what generates, and invite another process where there is a window for it.

        Raises:
            BackendFaultError: Others have stored a window by other means meanwhile, by which the run goes on.
        """
        if self.record.environment == Environment():
            stored = await self._store.set_environment(self.record.test_run_id, self._hold, environment)
            self.record = replace(self.record, environment=stored.environment)
            if stored.environment != environment:
                raise BackendFaultError("A first window was stored that was answered by other means.")
        if self.record.num_transcripts + self.record.inputs.window_size < num_total_of(self.record, self._spec):
            await self._invitations.send()

    async def append(self, environment: Environment, transcripts: Sequence[Transcript]) -> None:
        """Store the transcripts of the window."""
        self.record = await self._store.append_window(self.record.test_run_id, self._hold, environment, transcripts)

    def _free(self, record: RunRecord) -> RunRecord:
        """Return the run without what an earlier holder would have generated by, where nothing was."""
        is_free = not (record.has_stored or self.is_help or self._spec.keep_answers)
        return replace(record, environment=Environment()) if is_free else record


class RunShare(SharedRun):
    """Windows of a run that another process holds. They are left to others where what generates here differs.

    Attributes:
        is_prepared: Whether what generates is there.
    """

    is_help, is_prepared = True, False

    async def take(self, num_places: int) -> Entries:
        """Return the cases of the next window; none once a run waits for the place that this share takes."""
        if self._hold.window is not None and await self._invitations.is_place_wanted():
            return []
        entries = await super().take(num_places)
        # Who holds the run waits for all, and nobody for a share.
        self.others_work = False
        return entries

    async def prepared(self, environment: Environment) -> None:
        """Invite another process where there is a window for it.

        Raises:
            FailedPrecondition: What generates here is not what generated the first window.
        """
        if environment != self.record.environment:
            raise FailedPrecondition(
                "What generates here is not what generated the first window.",
                "Give all replicas the same image and the same kind of machine.",
            )
        self.is_prepared = True
        await super().prepared(environment)


def num_total_of(record: RunRecord, spec: TestRunSpec) -> int:
    """Return how many transcripts a run will have."""
    return record.inputs.num_cases * spec.num_repeats
