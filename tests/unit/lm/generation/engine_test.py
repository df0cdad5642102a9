"""Generation behind a shared prefix equals plain generation, whatever is batched with what."""

import dataclasses
from pathlib import Path

import pytest
import torch

from services.lm.adapters import LoraSettings, add_lora
from services.lm.decoder.blocks import Heads
from services.lm.errors import InvalidChat, LimitExceeded
from services.lm.generation import engine as engine_module
from services.lm.generation import lanes
from services.lm.generation.attention import SequenceCache
from services.lm.generation.engine import Engine
from services.lm.generation.forward import through_transformers
from services.lm.generation.grouping import group_prompts
from services.lm.generation.requests import GenerationRequest
from services.lm.generation.segments import Segment, SegmentCache
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.worker_protocol import Sampling

SYSTEM = list(range(5, 95))
PROMPTS = [[*SYSTEM, *range(100 + 3 * number, 105 + 5 * number)] for number in range(9)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("engine") / "model"
    write_tiny_model(folder, num_layers=3, max_positions=300)
    loaded = load(folder, dtype="float32")
    # Wider weights: a freshly made model repeats one token for ever, which would prove little.
    source = torch.Generator().manual_seed(11)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.25)
    return loaded


def requests(count: int = 24) -> list[GenerationRequest]:
    return [GenerationRequest(f"case {index}", prompt, count) for index, prompt in enumerate(PROMPTS)]


def plainly(loaded: LoadedModel, prompt: list[int], count: int = 24) -> list[int]:
    ids = torch.tensor([prompt])
    output = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens


@pytest.fixture(scope="module")
def expected(loaded: LoadedModel) -> list[list[int]]:
    """What transformers writes for each prompt."""
    return [plainly(loaded, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize(("max_batch", "num_lanes"), [(1, 1), (4, 1), (64, 2)])
def test_greedy_answers_equal_plain_generation(
    loaded: LoadedModel,
    expected: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
    max_batch: int,
    num_lanes: int,
) -> None:
    monkeypatch.setattr(lanes.LanePlan, "lanes_for", lambda plan, num_tasks: num_lanes)
    answers = {result.key: result for result in Engine(loaded).generate(requests(), max_batch=max_batch)}
    assert [list(answers[f"case {index}"].token_ids) for index in range(9)] == expected
    assert len({tuple(tokens) for tokens in expected}) > 5
    assert all(result.cached_tokens == len(SYSTEM) for result in answers.values())


def test_few_sequences_share_their_passes() -> None:
    plan = lanes.LanePlan.of(2, torch.device("cpu"))
    assert [plan.lanes_for(count) for count in (1, 13, 31, 32, 300)] == [1, 1, 1, 2, 2]


def test_layers_computed_by_transformers_give_the_same(
    loaded: LoadedModel, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "forward_of", through_transformers)
    answers = {result.key: list(result.token_ids) for result in Engine(loaded).generate(requests())}
    assert [answers[f"case {index}"] for index in range(9)] == expected


def test_a_sequence_stops_at_its_end_of_turn(loaded: LoadedModel, expected: list[list[int]]) -> None:
    tokens = expected[0]
    end = tokens[6]
    stopping = dataclasses.replace(loaded, eos_ids=frozenset({end}))
    (result,) = Engine(stopping).generate(requests()[:1])
    assert list(result.token_ids) == tokens[: tokens.index(end) + 1]
    assert result.finish_reason == "stop"


def test_what_does_not_fit_is_answered_with_numbers_before_anything_is_computed(loaded: LoadedModel) -> None:
    steps: list[int] = []
    results = Engine(loaded).generate(
        [GenerationRequest("long", [5] * 290, 11), *requests()[:1]],
        on_step=lambda tokens, active, waiting: steps.append(tokens) is None,
    )
    first = next(results)
    assert (first.key, first.finish_reason, first.token_ids) == ("long", "context_overflow", ())
    assert "290" in first.detail and "11" in first.detail and "300" in first.detail
    assert steps == []
    assert [result.finish_reason for result in results] == ["length"]


def test_the_last_position_can_be_used(loaded: LoadedModel) -> None:
    (result,) = Engine(loaded).generate([GenerationRequest("full", [5] * 290, 10)])
    assert len(result.token_ids) == 10


def test_sampling_depends_on_seed_and_key_only(loaded: LoadedModel) -> None:
    sampling = Sampling(temperature=1.5, top_p=0.95, top_k=50)

    def sample(max_batch: int, chosen: list[GenerationRequest]) -> dict[str, tuple[int, ...]]:
        results = Engine(loaded).generate(chosen, sampling, max_batch=max_batch)
        return {result.key: result.token_ids for result in results}

    together, alone = sample(64, requests()), sample(1, requests()[2:3])
    assert together["case 2"] == alone["case 2"]
    reseeded = sample(64, [dataclasses.replace(request, seed=1) for request in requests()])
    assert reseeded["case 2"] != together["case 2"]


def test_an_unmerged_adapter_in_training_is_used_as_it_is_now(loaded: LoadedModel, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", num_layers=2)
    plain = load(tmp_path / "model", dtype="float32")
    model = add_lora(plain.model, LoraSettings(), seed=1).eval()
    engine = Engine(dataclasses.replace(plain, model=model))
    for scale in (0.0, 0.5):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)) * scale)
        answers = {result.key: list(result.token_ids) for result in engine.generate(requests(8))}
        current = dataclasses.replace(plain, model=model)
        assert [answers[f"case {index}"] for index in range(9)] == [plainly(current, p, 8) for p in PROMPTS]


def test_the_caller_can_end_it(loaded: LoadedModel) -> None:
    results = Engine(loaded).generate(requests(), on_step=lambda tokens, active, waiting: tokens < 20)
    assert list(results) == []


def test_prompts_of_several_systems_are_grouped_by_theirs(loaded: LoadedModel) -> None:
    other = [7, *range(60, 160)]
    mixed = [*PROMPTS, *([*other, *range(20, 25 + number)] for number in range(4)), list(range(200, 230))]
    groups = group_prompts(mixed)
    assert [(len(group.indices), group.prefix_length) for group in groups[:2]] == [
        (9, len(SYSTEM)),
        (4, len(other) + 4),
    ]
    asked = [GenerationRequest(str(index), prompt, 6) for index, prompt in enumerate(mixed)]
    answers = {result.key: list(result.token_ids) for result in Engine(loaded).generate(asked)}
    assert [answers[str(index)] for index in range(len(mixed))] == [plainly(loaded, prompt, 6) for prompt in mixed]


def test_segments_unused_longest_are_let_go() -> None:
    def segment(name: bytes, size: int = 100) -> Segment:
        return Segment(name, 1, (torch.zeros(size),))

    cache = SegmentCache(max_bytes=2 * 4 * 100)
    cache.put(segment(b"1"))
    cache.put(segment(b"2"))
    assert cache.get(b"1") is not None
    cache.put(segment(b"3"))
    assert cache.get(b"2") is None
    assert cache.get(b"1") is not None
    cache.put(segment(b"too large", 300))
    assert cache.get(b"too large") is None and cache.get(b"3") is not None


@pytest.mark.parametrize(
    "broken",
    [
        [GenerationRequest("empty", [], 4)],
        [GenerationRequest("none", [5], 0)],
        [GenerationRequest("twice", [5], 1), GenerationRequest("twice", [6], 1)],
    ],
)
def test_a_request_that_makes_no_sense_is_refused(loaded: LoadedModel, broken: list[GenerationRequest]) -> None:
    with pytest.raises(InvalidChat):
        list(Engine(loaded).generate(broken))


def test_a_long_prompt_takes_not_the_places_of_short_ones(loaded: LoadedModel, expected: list[list[int]]) -> None:
    long = GenerationRequest("long", [*SYSTEM, *range(100, 200)], 24)
    # Room for the nine short ones, or for three of the length of the long one.
    room = 9 * (len(PROMPTS[-1]) - len(SYSTEM) + 24)
    token_bytes = SequenceCache.token_bytes(Heads(4, 2, 16), 3, torch.float32)
    engine = Engine(loaded, sequence_cache_bytes=room * token_bytes)
    most = 0

    def on_step(tokens: int, active: int, waiting: int) -> bool:
        nonlocal most
        most = max(most, active)
        return True

    answers = {result.key: result for result in engine.generate([*requests(), long], on_step=on_step)}
    assert [list(answers[f"case {index}"].token_ids) for index in range(9)] == expected
    assert list(answers["long"].token_ids) == plainly(loaded, list(long.prompt_ids))
    assert most == 9


def test_a_sequence_larger_than_the_memory_allowed_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        list(Engine(loaded, sequence_cache_bytes=1000).generate(requests()))
