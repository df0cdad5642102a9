"""Training behind shared prefixes equals the padded batch: the promise that the product's speed rests on."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from services.lm.adapters import LoraSettings, add_lora
from services.lm.decoder import passes
from services.lm.decoder.model import lean
from services.lm.errors import LimitExceeded
from services.lm.loading import load
from services.lm.prefix import recomputing_contexts
from services.lm.tiny import write_tiny_model
from services.lm.training import tree
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import LossOf, ScoredSequences, accumulate, log_probs

SOURCE = torch.Generator().manual_seed(11)
LORA = LoraSettings(r=4)
PAIRS = ((0, 1), (2, 3), (4, 5))


def drawn(count: int) -> tuple[int, ...]:
    return tuple(torch.randint(3, 250, (count,), generator=SOURCE).tolist())


def conversations() -> list[TrainedSequence]:
    """Two conversations of several answers each, cut at each answer, and one that only begins as they do."""
    system, first, second = drawn(40), drawn(30), drawn(25)
    short, long = (*system, *first), (*system, *first, *second)
    return [
        TrainedSequence((*short, *drawn(9)), ((70, 79),)),
        TrainedSequence((*short, *drawn(14)), ((70, 84),)),
        TrainedSequence((*long, *drawn(12)), ((65, 70), (97, 107))),
        TrainedSequence((*long, *drawn(8)), ((65, 70), (95, 99), (100, 103))),
        TrainedSequence((*system, *drawn(33)), ((50, 60), (61, 73))),
        TrainedSequence((*system, *drawn(21)), ((41, 61),)),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "model"
    write_tiny_model(folder, num_layers=3)
    return folder


@pytest.fixture(scope="module")
def sequences() -> list[TrainedSequence]:
    return conversations()


def trainable(folder: Path, settings: LoraSettings = LORA) -> torch.nn.Module:
    """A model whose adapters are far from zero, so that every gradient is exercised."""
    model = add_lora(load(folder, dtype="float32").model, settings, seed=1)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.05)
    return model


def in_full(folder: Path) -> torch.nn.Module:
    return load(folder, dtype="float32").model.requires_grad_(True)


def mean_of_answers(scored: ScoredSequences) -> torch.Tensor:
    """Supervised fine-tuning with a weight for each sequence."""
    shares = [(place + 1) * values.sum() for place, values in zip(scored.places, scored.log_probs, strict=True)]
    return -sum(shares[1:], shares[0]) / 90


def preference(scored: ScoredSequences) -> torch.Tensor:
    """DPO: each pair's first answer before its second, against a reference of constants."""
    sums = {place: values.sum() + place for place, values in zip(scored.places, scored.log_probs, strict=True)}
    losses = [-torch.nn.functional.logsigmoid(0.1 * (sums[a] - sums[b])) for a, b in PAIRS if a in sums]
    return sum(losses[1:], losses[0]) / len(PAIRS)


def clipped_ratios(scored: ScoredSequences) -> torch.Tensor:
    """GRPO: ratios to what sampled the tokens, some of them beyond the clip."""
    total = torch.zeros(())
    for place, values in zip(scored.places, scored.log_probs, strict=True):
        advantage = (-1.0) ** place * (1 + place)
        old = values.detach() + 0.3 * torch.sin(torch.arange(len(values)) + place)
        ratios = torch.exp(values - old)
        total = total - torch.minimum(ratios * advantage, ratios.clamp(0.8, 1.28) * advantage).sum() / 90
    return total


def padded(model: torch.nn.Module, sequences: Sequence[TrainedSequence]) -> ScoredSequences:
    """The textbook way: one row per sequence, padded, masked."""
    length = max(len(sequence.ids) for sequence in sequences)
    ids, mask = torch.zeros(2, len(sequences), length, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)], mask[row, : len(sequence.ids)] = torch.tensor(sequence.ids), 1
    tables = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
    chosen = tables[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
    values = [
        chosen[row, torch.tensor([place - 1 for start, end in sequence.spans for place in range(start, end)])]
        for row, sequence in enumerate(sequences)
    ]
    return ScoredSequences(tuple(range(len(sequences))), tuple(values), ())


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    values = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return values


def assert_exact(
    model: torch.nn.Module,
    sequences: Sequence[TrainedSequence],
    loss_of: LossOf = mean_of_answers,
    *,
    max_tokens: int = 10_000,
    units: Sequence[Sequence[int]] = (),
) -> None:
    work = accumulate(model, sequences, loss_of, max_tokens=max_tokens, units=units)
    exact = copy.deepcopy(model).double()
    expected = loss_of(padded(exact, sequences))
    expected.backward()
    assert work.loss == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    computed, reference = gradients(model), gradients(exact)
    assert computed.keys() == reference.keys()
    distances = torch.stack([(computed[name] - gradient).norm() for name, gradient in reference.items()])
    assert distances.norm() <= 1e-5 * torch.stack([gradient.norm() for gradient in reference.values()]).norm()
    for name, gradient in reference.items():
        assert gradient.norm() > 0, name
        assert (computed[name] - gradient).norm() <= 5e-5 * gradient.norm(), name


@pytest.fixture(params=[(10_000, 64), (120, 64), (118, 16)], ids=["one row", "a trunk", "a trunk on a trunk"])
def max_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    limit, least_trunk = request.param
    monkeypatch.setattr(tree, "_LEAST_TRUNK", least_trunk)
    return int(limit)


LOSSES = [(mean_of_answers, ()), (preference, PAIRS), (clipped_ratios, ())]


@pytest.mark.parametrize(("loss_of", "units"), LOSSES)
def test_each_method_equals_the_padded_batch_with_an_adapter(
    folder: Path, sequences: list[TrainedSequence], loss_of: LossOf, units: Sequence[Sequence[int]], max_tokens: int
) -> None:
    model = trainable(folder)
    assert lean(model) is not None
    assert_exact(model, sequences, loss_of, max_tokens=max_tokens, units=units)


@pytest.mark.parametrize(("loss_of", "units"), LOSSES)
def test_each_method_equals_the_padded_batch_in_full(
    folder: Path, sequences: list[TrainedSequence], loss_of: LossOf, units: Sequence[Sequence[int]], max_tokens: int
) -> None:
    model = in_full(folder)
    assert lean(model) is None
    assert_exact(model, sequences, loss_of, max_tokens=max_tokens, units=units)


@pytest.mark.parametrize(
    "settings",
    [
        LoraSettings(r=4, target_modules=("q_proj", "down_proj"), use_rslora=True),
        LoraSettings(r=4, use_dora=True),
    ],
)
def test_an_adapter_of_another_form_equals_the_padded_batch(
    folder: Path, sequences: list[TrainedSequence], settings: LoraSettings
) -> None:
    assert_exact(trainable(folder, settings), sequences)


def test_layers_computed_again_for_their_derivative_equal_the_padded_batch(
    folder: Path, sequences: list[TrainedSequence], max_tokens: int
) -> None:
    model: Any = in_full(folder).train()
    model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": recomputing_contexts})
    assert_exact(model, sequences, max_tokens=max_tokens)


def test_all_weights_in_float32_may_be_computed_in_bfloat16(folder: Path, sequences: list[TrainedSequence]) -> None:
    model = in_full(folder)
    exact = accumulate(model, sequences, mean_of_answers, max_tokens=120).loss
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        coarse = accumulate(model, sequences, mean_of_answers, max_tokens=120).loss
    assert coarse != exact and coarse == pytest.approx(exact, rel=0.02)
    assert all(gradient.dtype == torch.float32 for gradient in gradients(model).values())


def test_sequences_without_a_common_prefix_equal_the_padded_batch(folder: Path) -> None:
    alone = [TrainedSequence(drawn(length), ((5, length),)) for length in (30, 41, 17)]
    model = trainable(folder)
    assert_exact(model, alone)
    assert_exact(model, alone, max_tokens=60)


def test_log_probs_without_a_derivative_are_those_of_the_padded_batch(
    folder: Path, sequences: list[TrainedSequence]
) -> None:
    model = trainable(folder)
    values = log_probs(model, sequences, max_tokens=120)
    for value, expected in zip(values, padded(model, sequences).log_probs, strict=True):
        assert not value.requires_grad
        torch.testing.assert_close(value, expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [trainable, in_full])
def test_entropies_are_those_of_the_whole_distributions(
    folder: Path, sequences: list[TrainedSequence], make: Callable[[Path], torch.nn.Module]
) -> None:
    model = make(folder)
    entropies: dict[int, torch.Tensor] = {}

    def loss_of(scored: ScoredSequences) -> torch.Tensor:
        entropies.update(zip(scored.places, scored.entropies, strict=True))
        return clipped_ratios(scored)

    accumulate(model, sequences, loss_of, max_tokens=120, entropies=True)
    for place, sequence in enumerate(sequences):
        logits = model(input_ids=torch.tensor([sequence.ids])).logits[0].detach()
        rows = torch.tensor([at - 1 for start, end in sequence.spans for at in range(start, end)])
        expected = torch.distributions.Categorical(logits=logits[rows]).entropy()
        torch.testing.assert_close(entropies[place], expected, atol=1e-5, rtol=1e-5)


def test_a_loss_without_a_derivative_leaves_no_gradient(folder: Path, sequences: list[TrainedSequence]) -> None:
    model = trainable(folder)
    work = accumulate(model, sequences, lambda scored: torch.zeros(()), max_tokens=120)
    assert work.loss == 0.0
    assert not any(gradient.any() for gradient in gradients(model).values())


def test_bfloat16_stays_near_float32(folder: Path, sequences: list[TrainedSequence]) -> None:
    reference = trainable(folder)
    exact = accumulate(reference, sequences, mean_of_answers, max_tokens=10_000)
    model = add_lora(load(folder, dtype="bfloat16").model, LORA, seed=1)
    model.load_state_dict({k: v for k, v in reference.state_dict().items() if "lora_" in k}, strict=False)
    for max_tokens in (10_000, 120):
        work = accumulate(model, sequences, mean_of_answers, max_tokens=max_tokens)
        assert work.loss == pytest.approx(exact.loss, rel=0.01)
        assert all(gradient.dtype == torch.float32 for gradient in gradients(model).values())


def test_the_loss_falls_when_trained(folder: Path, sequences: list[TrainedSequence]) -> None:
    model = add_lora(load(folder, dtype="float32").model, LoraSettings(), seed=1)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        losses.append(accumulate(model, sequences, mean_of_answers, max_tokens=10_000).loss)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.5


def test_a_shared_prefix_is_computed_once(folder: Path, max_tokens: int) -> None:
    common = drawn(50)
    middles = [(*common, *drawn(30)) for _ in range(2)]
    sequences = [TrainedSequence((*middle, first, *drawn(9)), ((82, 90),)) for middle in middles for first in (5, 6, 7)]
    work = accumulate(trainable(folder), sequences, mean_of_answers, max_tokens=max_tokens)
    assert work.num_raw_tokens == 540
    assert work.num_computed_tokens == {10_000: 170, 120: 220, 118: 170}[max_tokens]


def test_a_sequence_that_is_too_long_is_named(folder: Path, sequences: list[TrainedSequence]) -> None:
    with pytest.raises(LimitExceeded, match="sequence 2") as refusal:
        accumulate(trainable(folder), sequences, mean_of_answers, max_tokens=104)
    assert "107" in refusal.value.problem


def test_a_pair_that_does_not_fit_is_named(folder: Path, sequences: list[TrainedSequence]) -> None:
    with pytest.raises(LimitExceeded, match="sequences 2 to 3"):
        accumulate(trainable(folder), sequences, preference, max_tokens=108, units=PAIRS[1:])


def test_spans_out_of_order_are_refused() -> None:
    for spans in (((0, 3),), ((3, 5), (4, 6)), ((4, 9),), ((4, 4),)):
        with pytest.raises(ValueError, match="not in order"):
            TrainedSequence(tuple(range(8)), spans)


def test_probabilities_computed_twice_equal_the_padded_batch(
    folder: Path, sequences: list[TrainedSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "KEPT_BYTES", 0)
    assert_exact(trainable(folder), sequences, max_tokens=120)
