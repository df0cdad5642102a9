"""What is asked: one prompt for each case of the train split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.lm.chat import encode_prompt
from services.lm.errors import LmError
from services.lm.loading import LoadedModel
from services.protocols.cases import Case, CaseError, case_from_document
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.session import Session
from services.protocols.suites.dataset_row import DatasetRow
from services.trainer.training.examples import BadExampleError, begins, plays_session


@dataclass(frozen=True)
class Task:
    """A row's prompt, and what its answers are judged by.

    Attributes:
        prompt_ids: Of the row's messages before its first trained answer, as the engine is asked with.
        prompt_size: Of a case of several answers, which the simulated client plays; empty where one answer is all.
    """

    row: DatasetRow
    profile: Profile
    case: Case
    prompt_ids: tuple[int, ...]
    prompt_size: str = ""


def tasks_of(rows: Sequence[DatasetRow], loaded: LoadedModel, *, max_tokens: int, max_new_tokens: int) -> list[Task]:
    """Return the tasks of the rows that have a case, in order.

    A task of several answers is one task, whichever of its answers have rows: the client plays it from its beginning.

    Raises:
        BadExampleError: A case cannot be read, the chat template refuses a prompt, or prompt and answer together may be
            longer than `max_tokens`; the row is named. Or no row has a case.
    """
    cases = [(row, *_case_of(row)) for row in rows if row.case is not None]
    tasks = [
        _task(row, profile, case, loaded, limit=max_tokens - max_new_tokens)
        for row, profile, case in cases
        if begins(row, case)
    ]
    if not tasks:
        raise BadExampleError(
            "No row of the train split has a case, so no answer can be rewarded: build the dataset from a suite, or "
            "train by sft or dpo."
        )
    return tasks


def _case_of(row: DatasetRow) -> tuple[Profile, Case]:
    try:
        return get_profile(row.profile_id), case_from_document(row.case)
    except (UnknownProfile, CaseError) as error:
        raise BadExampleError(f"{row.place} cannot be judged: {error}.") from error


def _task(row: DatasetRow, profile: Profile, case: Case, loaded: LoadedModel, *, limit: int) -> Task:
    try:
        prompt_ids = tuple(encode_prompt(loaded.tokenizer, row.prompt, tools=row.tools))
        prompt_size = _prompt_size(profile, case, prompt_ids, loaded) if plays_session(case) else ""
    except LmError as error:
        raise BadExampleError(f"{row.place} cannot be asked: {error}") from error
    if prompt_size is None:
        raise BadExampleError(
            f"{row.place} asks for several answers by a prompt that {profile.id} does not write for its case: build "
            "the dataset with this release, or drop the row."
        )
    if len(prompt_ids) > limit:
        raise BadExampleError(
            f"{row.place} has a prompt of {len(prompt_ids)} tokens, which leaves too little for an answer: at most "
            f"{limit} fit. Drop it, ask for shorter answers, or raise max_tokens_per_pack where the model's context "
            "allows it."
        )
    return Task(row, profile, case, prompt_ids, prompt_size)


def _prompt_size(profile: Profile, case: Case, prompt_ids: tuple[int, ...], loaded: LoadedModel) -> str | None:
    """Return the size in which the profile writes this prompt."""
    sizes = (
        size for size in profile.prompt_sizes if session_prompt(Session(profile, case, size), loaded) == prompt_ids
    )
    return next(sizes, None)


def session_prompt(session: Session, loaded: LoadedModel) -> tuple[int, ...]:
    """Return the token ids of what the session asks next."""
    # A profile's own definitions may be read-only views, which JSON cannot write.
    tools = json.loads(json.dumps(session.tools, default=dict))
    return tuple(encode_prompt(loaded.tokenizer, session.messages, tools=tools))
