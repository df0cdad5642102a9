"""How often the model in training obeys the protocol on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.lm.chat import encode_prompt
from services.lm.generation.engine import Engine
from services.lm.generation.requests import GenerationRequest, GenerationResult
from services.lm.loading import LoadedModel
from services.protocols.cases import Case, CaseError, case_from_document
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.suites.dataset_row import DatasetRow
from services.protocols.turn import FinishReason
from services.trainer.training.examples import BadExampleError, share_of
from services.trainer.training.workers import Workers

MAX_CASES = 26
MAX_NEW_TOKENS = 192


@dataclass(frozen=True)
class _Question:
    profile: Profile
    case: Case
    prompt_ids: tuple[int, ...]


class Validation:
    """Asks the cases of one answer of the validation split, at most 26, each worker its part, and judges."""

    def __init__(self, examples: Sequence[DatasetRow], loaded: LoadedModel, workers: Workers) -> None:
        """Read the cases.

        Raises:
            BadExampleError: A case or its profile is not one that this release knows.
        """
        single_answers = [example for example in examples if _takes_one_answer(example)][:MAX_CASES]
        self._workers = workers
        self._num_cases = len(single_answers)
        own = share_of(range(len(single_answers)), rank=workers.rank, num_workers=workers.num_workers)
        self._questions = [_question(single_answers[place], loaded) for place in own]
        self._engine = Engine(loaded)
        self._model = loaded.model

    def refuse_without_cases(self, *, needed: bool) -> None:
        """Return when there are cases, or none are needed.

        Raises:
            BadExampleError: There are none.
        """
        if needed and not self._num_cases:
            raise BadExampleError(
                "The validation split has no case of one answer to measure by, so no checkpoint can be the best: build "
                "the dataset with one, or leave load_best_model_at_end and early_stopping_patience out."
            )

    def measure(self) -> dict[str, float]:
        """Return the share of cases whose answer conforms, as "adherence"; nothing when there is no case."""
        if not self._num_cases:
            return {}
        self._model.eval()
        (conforming,) = self._workers.add_up(self._count())
        return {"adherence": conforming / self._num_cases}

    def _count(self) -> int:
        requests = [
            GenerationRequest(str(place), question.prompt_ids, MAX_NEW_TOKENS)
            for place, question in enumerate(self._questions)
        ]
        count = 0
        for answer in self._engine.generate(requests):
            question = self._questions[int(answer.key)]
            count += _conforms(question, answer)
        return count


def _takes_one_answer(example: DatasetRow) -> bool:
    case = example.case
    return case is not None and case.get("max_turns", 1) == 1 and not case.get("goal")


def _conforms(question: _Question, answer: GenerationResult) -> bool:
    reason: FinishReason = "stop" if answer.finish_reason == "stop" else "length"
    return question.profile.judge(question.case, question.profile.read_answer(answer.text, reason)).conforming


def _question(example: DatasetRow, loaded: LoadedModel) -> _Question:
    assert example.case is not None
    try:
        profile = get_profile(example.profile_id)
        case = case_from_document(example.case)
    except (UnknownProfile, CaseError) as error:
        raise BadExampleError(f"Example {example.example_id[:100]} cannot be judged: {error}.") from error
    prompt_ids = encode_prompt(loaded.tokenizer, example.prompt, tools=example.tools)
    return _Question(profile, case, tuple(prompt_ids))
