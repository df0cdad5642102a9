"""Transcripts, cases and a judge in memory, and items on them, for tests of feedback items."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from services.chassis.artifacts import Artifact, ArtifactStore
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.errors import NotFound
from services.chassis.jobs import JobRunner
from services.feedback.domain.item import (
    AnsweredCase,
    AnswersToJudge,
    ChatMessage,
    Item,
    Outcome,
    Rating,
    RatingScale,
    Subject,
)
from services.feedback.domain.item_spec import FEEDBACK_IMPORT_KIND, Chat, FeedbackImport, ItemSpec
from services.feedback.jobs.items.feedback_import import FeedbackImportJob
from services.feedback.store.chats import SqlChatStore
from services.feedback.store.item_lines import item_lines
from services.feedback.store.items import SqlItemStore
from services.feedback.store.jobs import MIGRATIONS, JobImportStore
from services.feedback.usecases.chats import ChatUseCases
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.subjects import Subjects
from services.protocols.cases import Case, case_from_document, case_to_document
from services.protocols.profile import get_profile
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

PROFILE = get_profile("roo_xml")
SUITE = PROFILE.suites()[0]
SUITE_ID = f"{SUITE.suite_id}@{SUITE.version}"
MATERIAL_ID = "roo_xml/material@1"


def drawn(count: int, seed: int = 7) -> list[Case]:
    """Return cases of the profile's material, which no suite has."""
    return list(PROFILE.draw(seed, count, tools=("read_file", "list_files"), split="train"))


CASES = drawn(6)


def said(text: str) -> ChatMessage:
    """Return an answer."""
    return {"role": "assistant", "content": text}


class FakeWorld:
    """The other services: run "run" has a wrong answer to each case of the material, by model "tiny@1"."""

    def __init__(self, cases: Sequence[Case] = tuple(CASES), suite_id: str = MATERIAL_ID) -> None:
        self.cases = {f"run-{number}": case for number, case in enumerate(cases, start=1)}
        self.documents = {case.case_id: json.dumps(case_to_document(case)) for case in cases}
        self.suite_id, self.num_judged = suite_id, 0
        self.answers = {name: (said("I would read it."),) for name in self.cases}

    async def answered_case(self, transcript_id: str) -> AnsweredCase:
        if transcript_id not in self.cases:
            raise NotFound(f"There is no transcript {transcript_id!r}.", "List the run's transcripts to see their ids.")
        subject = Subject(
            transcript_id=transcript_id,
            test_run_id="run",
            case_id=self.cases[transcript_id].case_id,
            model_version_id="tiny@1",
            test_suite_version_id=self.suite_id,
            profile_id="roo_xml",
            prompt_size=PROFILE.prompt_sizes[0],
        )
        return AnsweredCase(subject, self.answers[transcript_id])

    async def case_document(self, test_suite_version_id: str, case_id: str) -> str:
        return self.documents[case_id]

    async def judge(self, answers: Sequence[AnswersToJudge]) -> list[Outcome | str]:
        self.num_judged += len(answers)
        return [self._judge(order) for order in answers]

    def _judge(self, order: AnswersToJudge) -> Outcome | str:
        case = case_from_document(json.loads(order.case_document))
        if len(order.answers) > case.max_turns:
            return "There are too many answers."
        verdict = PROFILE.judge(case, PROFILE.read_answer(order.answers[-1]["content"]))
        return Outcome(verdict.conforming, verdict.cause.value if verdict.cause else "", verdict.sentence)

    def right(self, transcript_id: str) -> str:
        return PROFILE.reference_answer(self.cases[transcript_id])


def spec_of(transcript_id: str = "run-1", **said_of_it: Any) -> ItemSpec:
    """Return what a person says of a transcript."""
    empty: dict[str, Any] = {
        "turn": 0,
        "case_id": "",
        "chat_completion_id": "",
        "chat": None,
        "rating": None,
        "correction": (),
        "preference": None,
        "tag": "",
        "note": "",
        "author": "ann",
    }
    return ItemSpec(transcript_id, **{**empty, **said_of_it})


def thumbs(value: int) -> Rating:
    """Return a rating by thumbs."""
    return Rating(value, RatingScale.THUMBS)


class ItemBench:
    """The use cases over SQLite and a world in memory."""

    def __init__(self, database: Database, artifacts: ArtifactStore, world: FakeWorld | None = None) -> None:
        self.world, self.store, self.artifacts = world or FakeWorld(), SqlItemStore(database), artifacts
        self.chats = ChatUseCases(SqlChatStore(database))
        subjects = Subjects(SqlChatStore(database), self.world, self.world, self.world)
        self.jobs = MemoryJobStore()
        self.imports = JobImportStore(self.jobs)
        self.usecases = ItemUseCases(self.store, subjects, partial(item_lines, artifacts), self.imports)

    async def corrected(self, transcript_id: str, request_id: str = "", **more: Any) -> Item:
        """Correct a transcript by the right answer."""
        answer = said(self.world.right(transcript_id))
        return await self.usecases.create(request_id, spec_of(transcript_id, correction=(answer,), **more))

    async def kept(self, content: bytes) -> Artifact:
        return await self.artifacts.put_bytes(content)

    async def checked(self, content: bytes) -> list[Item]:
        """Return the items of a file, looked up and judged."""
        return [item async for batch in self.usecases.checked(await self.kept(content)) for item in batch]

    @asynccontextmanager
    async def at_work(self, store: SqlItemStore | None = None) -> AsyncIterator[None]:
        """Do imports meanwhile; what is at work at the end is left as by a process that dies."""
        runner = JobRunner(self.jobs, owner="bench", is_only_owner=True)
        job = FeedbackImportJob(store or self.store, self.usecases, self.artifacts)
        runner.register(FEEDBACK_IMPORT_KIND, job.run)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop(5.0)

    async def ended(self, job_id: str) -> FeedbackImport:
        """Return an import once it has ended."""
        async for _ in self.imports.watch(job_id):
            pass
        return await self.imports.get(job_id)

    async def imported(self, content: bytes) -> FeedbackImport:
        """Import a file."""
        feedback_import = await self.usecases.create_import("", await self.kept(content))
        async with self.at_work():
            return await self.ended(feedback_import.job.job_id)


async def bench_in(folder: Path, world: FakeWorld | None = None) -> AsyncIterator[ItemBench]:
    """Yield a bench over an empty database in a folder."""
    database = Database.open(f"sqlite+aiosqlite:///{folder}/state.db")
    await migrate(database, MIGRATIONS)
    yield ItemBench(database, ArtifactStore((folder / "artifacts").as_uri()), world)
    await database.close()


def chat() -> Chat:
    """Return an answer of a served model."""
    return Chat("tiny@1", ({"role": "user", "content": "Say hello to the wide world."}, said("Bye.")))
