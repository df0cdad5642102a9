"""A model may lie on a GPU: nothing that generation makes lies elsewhere, and the answers are the processor's."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm import prefix
from services.lm.errors import NoSuchDevice
from services.lm.generation import lanes
from services.lm.generation.batch import Batch
from services.lm.generation.engine import Engine
from services.lm.generation.forward import TransformersForward, forward_of
from services.lm.generation.requests import GenerationRequest, ResultOptions
from services.lm.loading import LoadedModel, load
from services.lm.tiny import write_tiny_model
from services.lm.worker_protocol import Sampling

SHARED = list(range(5, 85))
REQUESTS = [GenerationRequest(str(n), [*SHARED, *range(100 + 3 * n, 105 + 5 * n)], 12, seed=n) for n in range(5)]
SAMPLED = Sampling(temperature=0.9, top_p=0.95, top_k=50, min_p=0.01)
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU; with one run: pytest tests/unit/lm/generation/device_test.py"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "model"
    write_tiny_model(folder, num_layers=3)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    """A model whose layers transformers computes, as on a GPU."""
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=259,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
    )
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=prefix.ATTENTION).eval().requires_grad_(False)
    assert isinstance(forward_of(model), TransformersForward)
    return replace(load(folder, dtype="float32"), model=model, eos_ids=frozenset({258}), max_positions=512)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors whose device is not named lie on one without memory, where nothing can be computed."""

    def run(makers: Sequence[Callable[[], Batch]], num_threads: int) -> Generator[lanes.LaneUpdate]:
        for lane, make in enumerate(makers):
            batch = make()
            while batch.is_busy:
                yield lanes.LaneUpdate(lane, batch.step(), batch.written, batch.active, batch.num_waiting)

    # The default device is a thread's own, so the lanes have to work in this one.
    monkeypatch.setattr(lanes, "run", run)
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
@pytest.mark.usefixtures("elsewhere")
def test_nothing_lies_elsewhere_than_the_model(loaded: LoadedModel, sampling: Sampling) -> None:
    options = ResultOptions(scores=True, num_top=2, echo=True)
    results = list(Engine(loaded).generate(REQUESTS, sampling, options=options))
    continued = [replace(request, is_continued=True) for request in REQUESTS]
    again = list(Engine(loaded).generate(continued, sampling, options=options))
    assert {len(result.token_ids) for result in (*results, *again)} == {12}


def test_a_gpu_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load(folder, device="auto").device == "cpu"
    with pytest.raises(NoSuchDevice, match="no GPU"):
        load(folder, device="cuda")


@needs_gpu
@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
def test_a_gpu_gives_the_answers_of_the_processor(folder: Path, sampling: Sampling) -> None:
    answers = [
        {
            result.key: result.token_ids
            for result in Engine(load(folder, dtype="float32", device=device)).generate(REQUESTS, sampling)
        }
        for device in ("cpu", "cuda")
    ]
    assert answers[0] == answers[1]
