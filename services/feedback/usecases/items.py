"""What callers may ask of feedback items."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial

from services.chassis.artifacts import Artifact
from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from services.chassis.machine.caller import current_caller
from services.chassis.waiting import patiently
from services.chassis.wire.paging import LAST_PLACE, checked_page_size, page_of, place_of
from services.feedback.domain.agreement import Agreement
from services.feedback.domain.identifiers import derived_id
from services.feedback.domain.item import AnswersToJudge, Item, ItemFilter, Subject, digest_of
from services.feedback.domain.item_spec import FeedbackImport, ImportLine, ItemSpec, line_error
from services.feedback.ports.stores import ImportStore, ItemStore
from services.feedback.usecases.subjects import Subjects
from services.protocols.cases import CaseError, case_from_document
from services.protocols.profile import UnknownProfile, get_profile

_BATCH = 500
_NUM_CASES = 4096
_AGAIN = "Export it again."


@dataclass(frozen=True)
class ItemPage:
    """A page of items, the token of the next one, and how many there are on all."""

    items: Sequence[Item]
    next_page_token: str
    total_size: int


class ItemUseCases:
    """Stores, finds, withdraws, imports and exports feedback items."""

    def __init__(
        self,
        store: ItemStore,
        subjects: Subjects,
        lines: Callable[[Artifact], AsyncIterator[ImportLine]],
        imports: ImportStore,
    ) -> None:
        self._store = store
        self._imports = imports
        self._subjects = subjects
        self._lines = lines

    async def create(self, request_id: str, spec: ItemSpec) -> Item:
        """Store an item and return it; the same request id returns the same item.

        Where a gateway asks for a login, its author is who logged in, whatever it says itself.

        Raises:
            InvalidArgument: It says several things or nothing, or its answer does not fit what it names.
            NotFound: There is no such transcript, chat or replaced item.
            AlreadyExists: The request id was used with another body.
            Aborted: Somebody else has replaced the same item meanwhile.
        """
        spec.check()
        spec = replace(spec, author=current_caller.get() or spec.author)
        item_id, digest = derived_id("item", request_id), digest_of(asdict(spec))
        known = await self._store.get(item_id) if request_id else None
        item = known or await self._store.add(await self._item(item_id, spec, digest))
        if item.request_digest != digest:
            raise AlreadyExists(
                f"The request id {request_id} was used before with another item.",
                "Use a new request id for a new request.",
                field="request_id",
            )
        return item

    async def get(self, feedback_item_id: str) -> Item:
        """Return an item.

        Raises:
            NotFound: There is none.
        """
        return _known(await self._store.get(feedback_item_id), feedback_item_id)

    async def page(self, item_filter: ItemFilter, *, page_size: int, page_token: str) -> ItemPage:
        """Return a page of the wanted items, newest first.

        Raises:
            InvalidArgument: The page size is out of bounds, or the token is not one that this list gave out.
        """
        size = checked_page_size(page_size)
        items = await self._store.list(item_filter, place_of(page_token, LAST_PLACE), size + 1)
        page, token = page_of(items, size, lambda item: item.ordinal)
        return ItemPage(page, token, await self._store.count(item_filter))

    async def withdraw(self, feedback_item_id: str, reason: str) -> Item:
        """Withdraw an item; a second call changes nothing.

        Raises:
            NotFound: There is none.
        """
        return _known(await self._store.withdraw(feedback_item_id, reason), feedback_item_id)

    async def agreement(self, item_filter: ItemFilter) -> Agreement:
        """Return how far people and the judge agree on the wanted items."""
        return await self._store.agreement(item_filter)

    async def export_items(self, item_filter: ItemFilter) -> AsyncGenerator[Item]:
        """Yield the wanted items, oldest first."""
        after = 0
        while batch := await self._store.list_forward(item_filter, after, _BATCH):
            after = batch[-1].ordinal
            for item in batch:
                yield item

    async def create_import(self, request_id: str, artifact: Artifact) -> FeedbackImport:
        """Store the import of a file and return it; the same request id returns the same import.

        Raises:
            AlreadyExists: The request id was used with another file, or by somebody else.
        """
        return await self._imports.create(request_id, artifact, current_caller.get())

    async def checked(self, artifact: Artifact, author: str = "") -> AsyncIterator[list[Item]]:
        """Yield the items of a file, looked up and judged, some hundred at once.

        What is said new has the `author`, if there is one, as in `create`; an exported item keeps its own.

        Raises:
            InvalidArgument: A line is wrong; it is named.
            NotFound: There is no such file.
        """
        async for batch in _grouped(self._lines(artifact)):
            yield await patiently(partial(self._imported, batch, author), "another service")

    async def _imported(self, lines: Sequence[ImportLine], author: str) -> list[Item]:
        items = [
            line.entry if isinstance(line.entry, Item) else await self._of_line(line.number, line.entry, author)
            for line in lines
        ]
        exported = [place for place, line in enumerate(lines) if isinstance(line.entry, Item)]
        judged = [place for place in exported if items[place].case_document]
        for place in judged:
            _check_case(lines[place].number, items[place].subject, items[place].case_document)
        contents = await self._subjects.judged([(_answers_of(items[place]), items[place].content) for place in judged])
        for place, content in zip(judged, contents, strict=True):
            items[place] = replace(items[place], content=content)
        return items

    async def _of_line(self, number: int, spec: ItemSpec, author: str) -> Item:
        try:
            spec.check()
            spec = replace(spec, author=author or spec.author)
            digest = digest_of(asdict(spec))
            item_id = derived_id("item", f"import/{digest}")
            return await self._store.get(item_id) or await self._item(item_id, spec, digest)
        except (FailedPrecondition, InvalidArgument, NotFound) as error:
            raise line_error(number, error) from error

    async def _item(self, item_id: str, spec: ItemSpec, digest: str) -> Item:
        answer = await self._subjects.look_up(spec)
        version, replaced_id = 1, spec.replaces_feedback_item_id
        if replaced_id:
            replaced = await self.get(replaced_id)
            if replaced.subject != answer.subject:
                raise InvalidArgument(
                    f"The item {replaced_id} is about another answer.",
                    "Replace an item by one on the same answer.",
                    field="spec.replaces_feedback_item_id",
                )
            if replaced.withdraw_time:
                raise InvalidArgument(
                    f"The item {replaced_id} is withdrawn already.",
                    "Replace the item that took its place, or send this one by itself.",
                    field="spec.replaces_feedback_item_id",
                )
            version = replaced.version + 1
        return Item(
            feedback_item_id=item_id,
            kind=spec.kind,
            author=spec.author,
            create_time=datetime.now(UTC),
            subject=answer.subject,
            content=answer.content,
            rating=spec.rating,
            tag=spec.tag,
            case_document=answer.case_document,
            version=version,
            replaces_feedback_item_id=replaced_id,
            request_digest=digest,
        )


def _known(item: Item | None, feedback_item_id: str) -> Item:
    if item is None:
        raise NotFound(f"There is no feedback item {feedback_item_id[:100]!r}.", "List the items to see their ids.")
    return item


def _check_case(number: int, subject: Subject, document: str) -> None:
    try:
        case_id, sizes = _case_id(document), get_profile(subject.profile_id).prompt_sizes
    except (CaseError, UnknownProfile, ValueError, RecursionError) as error:
        reason = str(error)[:200].rstrip(".")
        raise line_error(number, InvalidArgument(f"The item's case cannot be read: {reason}.", _AGAIN)) from error
    if case_id != subject.case_id:
        problem = f"The item is on the case {subject.case_id!r}, and holds the case {case_id!r}."
        raise line_error(number, InvalidArgument(problem, _AGAIN))
    if subject.prompt_size not in ("", *sizes):
        problem = f"The profile {subject.profile_id} has no prompt size {subject.prompt_size[:30]!r}."
        raise line_error(number, InvalidArgument(problem, f"Use one of {', '.join(sizes)}."))


@lru_cache(maxsize=_NUM_CASES)
def _case_id(document: str) -> str:
    return case_from_document(json.loads(document)).case_id


def _answers_of(item: Item) -> AnswersToJudge:
    return AnswersToJudge(item.subject.profile_id, item.case_document, item.content.messages)


async def _grouped(lines: AsyncIterator[ImportLine]) -> AsyncIterator[list[ImportLine]]:
    batch: list[ImportLine] = []
    async for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
