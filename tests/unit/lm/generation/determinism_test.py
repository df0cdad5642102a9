"""What is held in memory never shows in an answer: not in its tokens, not in one bit of its log-probabilities."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from services.lm.generation.engine import Engine
from services.lm.generation.grouping import deeper_ends, turn_ends
from services.lm.generation.requests import GenerationRequest, GenerationResult, ResultOptions
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.worker_protocol import Sampling

END = 1
SYSTEM = [*range(5, 205), END]
GREEDY, SAMPLED = Sampling(), Sampling(temperature=1.2, top_p=0.95, top_k=60, min_p=0.001)


# Each two of the three meet: every number type with every number of threads and with every way to choose tokens.
CASES = [
    ("float32", 1, GREEDY),
    ("float32", 2, SAMPLED),
    ("bfloat16", 1, SAMPLED),
    ("bfloat16", 2, GREEDY),
]


@dataclass(frozen=True)
class Numbers:
    tokens: tuple[int, ...]
    log_probs: tuple[float, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("determinism") / "model"
    write_tiny_model(folder, num_layers=3, max_positions=2048)
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, LoadedModel]:
    return {dtype: drawn(folder, dtype) for dtype in ("float32", "bfloat16")}


@pytest.fixture(params=["float32", "bfloat16"])
def loaded(models: dict[str, LoadedModel], request: pytest.FixtureRequest) -> LoadedModel:
    return models[request.param]


def drawn(folder: Path, dtype: str) -> LoadedModel:
    loaded = load(folder, dtype=dtype)
    source = torch.Generator().manual_seed(11)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.25)
    return replace(loaded, eos_ids=frozenset({END}))


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def window(name: str, first: int, count: int = 5) -> list[GenerationRequest]:
    prompts = [[*SYSTEM, *range(first, first + 9 + 3 * number), 7 + number] for number in range(count)]
    return [GenerationRequest(f"{name} {index}", prompt, 12, seed=3) for index, prompt in enumerate(prompts)]


def results(engine: Engine, asked: list[GenerationRequest], sampling: Sampling) -> dict[str, GenerationResult]:
    answers = engine.generate(asked, sampling, options=ResultOptions(scores=True))
    return {result.key: result for result in answers}


def numbers(engine: Engine, asked: list[GenerationRequest], sampling: Sampling) -> dict[str, Numbers]:
    answers = results(engine, asked, sampling)
    return {key: Numbers(result.token_ids, result.scores.log_probs) for key, result in answers.items()}


@pytest.mark.parametrize(("dtype", "num_threads", "sampling"), CASES)
def test_a_window_redone_by_a_new_process_has_the_same_bits_as_behind_a_warm_cache(
    models: dict[str, LoadedModel], threads: Callable[[int], None], dtype: str, num_threads: int, sampling: Sampling
) -> None:
    threads(num_threads)
    loaded = models[dtype]
    warm = Engine(loaded)
    numbers(warm, window("before", 30), sampling)
    numbers(warm, window("other", 90, 3), sampling)
    redone = numbers(Engine(loaded), window("a", 60), sampling)
    assert numbers(warm, window("a", 60), sampling) == redone
    assert len({answer.tokens for answer in redone.values()}) > 2


@pytest.mark.parametrize(("dtype", "num_threads", "sampling"), CASES)
def test_the_next_turn_has_the_same_bits_whether_the_turns_before_are_held_or_not(
    models: dict[str, LoadedModel], threads: Callable[[int], None], dtype: str, num_threads: int, sampling: Sampling
) -> None:
    threads(num_threads)
    loaded = models[dtype]
    warm, small = Engine(loaded), Engine(loaded, prefix_cache_bytes=300_000)
    asked = [
        replace(request, prompt_ids=[*request.prompt_ids, *range(10, 80), END, 4], is_continued=True)
        for request in window("a", 60)
    ]
    for turn in range(3):
        # In other company more of it is shared, and was read as such.
        results(warm, [asked[0], replace(asked[0], key="twin")], sampling)
        held = results(warm, asked, sampling)
        fresh = results(Engine(loaded), asked, sampling)
        evicting = numbers(small, asked, sampling)
        assert {key: Numbers(r.token_ids, r.scores.log_probs) for key, r in held.items()} == evicting
        assert {key: Numbers(r.token_ids, r.scores.log_probs) for key, r in fresh.items()} == evicting
        if turn:
            assert all(held[key].cached_tokens > fresh[key].cached_tokens for key in held)
        tail = [END, *range(100 + turn, 190), END, 4]
        asked = [replace(r, prompt_ids=[*r.prompt_ids, *held[r.key].token_ids, *tail]) for r in asked]


def test_what_is_sampled_depends_on_seed_and_key_not_on_the_window(loaded: LoadedModel) -> None:
    whole, half = window("a", 60, 8), window("a", 60, 8)[2:5]
    together, apart = numbers(Engine(loaded), whole, SAMPLED), numbers(Engine(loaded), half, SAMPLED)
    if loaded.dtype == "float32":
        assert all(together[key].tokens == apart[key].tokens for key in apart)
    other = numbers(Engine(loaded), [replace(request, seed=4) for request in whole], SAMPLED)
    assert all(other[key].tokens != together[key].tokens for key in together)


def test_repeats_of_one_prompt_share_it_and_differ_by_their_keys(loaded: LoadedModel) -> None:
    once = window("a", 60, 4)
    asked = [replace(request, key=f"{request.key} repeat {n}") for request in once for n in range(3)]
    answers = results(Engine(loaded), asked, SAMPLED)
    assert len({answers[request.key].token_ids for request in asked}) > 8
    # Of each three, two find what the first one read.
    longer = [answers[request.key].cached_tokens > len(SYSTEM) + 8 for request in asked]
    assert sum(longer) >= 8


def test_segments_end_where_they_did_when_a_conversation_goes_on() -> None:
    first = [*range(5, 100), END, *range(5, 20), END, *range(5, 90), END]
    longer = [*first, *range(5, 2000), END]
    ends = turn_ends(first, {END}, len(first))
    assert ends == [96, 198]
    assert turn_ends(longer, {END}, len(longer))[:2] == ends
    assert max(b - a for a, b in zip(ends, turn_ends(longer, {END}, len(longer)), strict=False)) <= 512
    assert turn_ends(longer, {END}, len(longer), start=96)[0] == 198


def test_deeper_sharing_is_found_below_the_shared_beginning() -> None:
    base, branch = list(range(100)), list(range(200, 240))
    prompts = [[*base, *branch, 1], [*base, *branch, 2], [*base, 3, 4], [*base, *branch, 2, 5]]
    ends = deeper_ends(prompts, 100)
    assert [end[:1] for end in ends] == [(140,), (140,), (), (140,)]
