"""What many feedback items cost: `python -m tests.bench.feedback`; pages of the inbox, and a dataset built of them.

The targets: of 100,000 items a page in 300 ms, and 20,000 rows in 10 s at 400 MiB. Everything is what the service does,
over SQLite and without its network: times are of the processor, since a machine that others share has no other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.chassis.artifacts import ArtifactStore
from services.chassis.database import Database
from services.chassis.database.migration import migrate
from services.chassis.jobs import JobRunner
from services.chassis.wire import from_document
from services.feedback.convert.items import page_to_proto
from services.feedback.domain.dataset_build import DATASET_BUILD_KIND, DatasetBuildSpec, build_of
from services.feedback.domain.item import Content, FeedbackKind, FeedbackUse, Item, ItemFilter, Outcome, Rating, Subject
from services.feedback.domain.work import Registration
from services.feedback.jobs.items.dataset_build import DatasetBuildJob
from services.feedback.store.items import SqlItemStore
from services.feedback.store.jobs import MIGRATIONS, JobBuildStore
from services.feedback.usecases.items import ItemUseCases
from services.feedback.usecases.subjects import Subjects
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from tests.unit.chassis.jobs.memory_store import MemoryJobStore

PROFILE = get_profile("roo_xml")
NUM_CASES = 2000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS = {
    "all": ItemFilter(),
    "corrections": ItemFilter(kind=FeedbackKind.CORRECTION),
    "of one author": ItemFilter(author="author-3"),
    "of a rare tag": ItemFilter(tag="rare"),
    "differing from the judge": ItemFilter(disagrees=True),
    "contradicted": ItemFilter(is_contradicted=True),
    "used by no dataset": ItemFilter(use=FeedbackUse.UNUSED),
    "used by a dataset": ItemFilter(use=FeedbackUse.USED),
}


class Suites:
    """The suites that ship with the profile, and a registry that keeps what is built."""

    async def list_test_suites(self) -> tuple[str, ...]:
        return tuple(f"{suite.suite_id}@{suite.version}" for suite in PROFILE.suites())

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        for suite in PROFILE.suites():
            if f"{suite.suite_id}@{suite.version}" == test_suite_version_id:
                return tuple(suite.cases)
        return ()

    async def register_dataset(self, request_id: str, registration: Registration) -> str:
        return f"{registration.name}@1"


def items(num_items: int) -> Iterator[list[Item]]:
    """Yield items in batches: a fifth corrections that conform, the rest ratings, preferences, tags and notes."""
    cases = list(PROFILE.draw(11, NUM_CASES, split="train"))
    documents = [json.dumps(case_to_document(case)) for case in cases]
    answers = [PROFILE.reference_answer(case) for case in cases]
    for start in range(0, num_items, 500):
        yield [_item(number, cases, documents, answers) for number in range(start, min(start + 500, num_items))]


def _item(number: int, cases: Sequence[Case], documents: Sequence[str], answers: Sequence[str]) -> Item:
    place, turn = number // 5 % NUM_CASES, number // 5 // NUM_CASES
    case, kind = cases[place], ("CORRECTION", "RATING", "RATING", "PREFERENCE", "TAG")[number % 5]
    own = {"role": "assistant", "content": f"I would look at it, and write of it at some length. {number}"}
    right = {"role": "assistant", "content": f"Answer {turn} is this.\n{answers[place]}"}
    subject = Subject(
        transcript_id=f"run-{number // 5}",
        test_run_id="run",
        case_id=case.case_id,
        model_version_id="tiny@1",
        test_suite_version_id="roo_xml/material@1",
        profile_id="roo_xml",
        prompt_size=PROFILE.prompt_sizes[0],
        tool=case.tool,
        category=case.category,
    )
    content = Content((own,), verdict=Outcome(False, "no_call", "It calls no tool."))
    proposed = Outcome(True)
    if kind == "CORRECTION":
        content = replace(content, correction=(right,), proposal_verdict=proposed)
    if kind == "PREFERENCE":
        content = replace(content, chosen=right, rejected=own, proposal_verdict=proposed)
    return Item(
        f"item-{number}",
        FeedbackKind(kind),
        f"author-{number % 7}",
        NOW + timedelta(seconds=number),
        subject,
        content,
        rating=Rating(1 if number % 11 == 0 else -1) if kind == "RATING" else None,
        tag=("rare" if number % 10_000 == 4 else "odd") if kind == "TAG" else "",
        case_document=documents[place],
    )


@contextmanager
def _timed(name: str) -> Iterator[None]:
    wall, processor = time.monotonic(), time.process_time()
    yield
    spent = time.process_time() - processor
    print(f"{name}: {spent:.3f} s of the processor, {time.monotonic() - wall:.3f} s", flush=True)


async def _build(store: SqlItemStore, artifacts: ArtifactStore, form: str) -> None:
    jobs = MemoryJobStore()
    spec = from_document(DatasetBuildSpec, {"dataset_id": "mine", "profile_id": "roo_xml", "form": form})
    build = await JobBuildStore(jobs).create("", spec)
    runner = JobRunner(jobs, owner="bench", is_only_owner=True)
    runner.register(DATASET_BUILD_KIND, DatasetBuildJob(store, Suites(), artifacts, None).run)
    with _timed(f"a dataset of {form}"):
        await runner.start()
        while not (job := await jobs.get(build.dataset_build_id)).state.is_final:
            await asyncio.sleep(0.2)
        await runner.stop(5.0)
    print(" ".join(build_of(job).state.sentences) or job.error)


async def _measure(folder: Path, num_items: int) -> None:
    database = Database.open(f"sqlite+aiosqlite:///{folder}/state.db")
    await migrate(database, MIGRATIONS)
    store, artifacts = SqlItemStore(database), ArtifactStore((folder / "artifacts").as_uri())
    usecases = ItemUseCases(store, Subjects(*[None] * 4), None, None)  # type: ignore[arg-type]
    if await store.count(ItemFilter()) < num_items:
        with _timed(f"{num_items:,} items stored"):
            for batch in items(num_items):
                await store.add_all(batch)
    for form in ("SFT", "DPO"):
        await _build(store, artifacts, form)
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    for name, item_filter in FILTERS.items():
        with _timed(f"a page of items {name}"):
            page = await usecases.page(item_filter, page_size=50, page_token="")
            page_to_proto(page).SerializeToString()
        print(f"  {page.total_size:,} items")
    await database.close()


def main() -> None:
    """Measure, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.feedback", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keeps the items for another run; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(_measure(folder, arguments.items))


if __name__ == "__main__":
    main()
