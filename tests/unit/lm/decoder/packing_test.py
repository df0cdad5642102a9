"""Shared-prefix training equals the padded batch: the promise that the product's speed rests on."""

from pathlib import Path

import pytest
import torch

from services.lm.adapters import LoraSettings, add_lora
from services.lm.chat import EncodedExample, encode_example
from services.lm.decoder import model as decoder_model
from services.lm.decoder.model import lean
from services.lm.errors import LimitExceeded
from services.lm.loading import load
from services.lm.packing import answer_loss, common_prefix_length, pack
from services.lm.tiny import write_tiny_model

SYSTEM = {"role": "system", "content": "You drive the tools of an editor. " * 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packing") / "model"
    write_tiny_model(folder, num_layers=3)
    return folder


@pytest.fixture(scope="module")
def examples(folder: Path) -> list[EncodedExample]:
    tokenizer = load(folder, dtype="float32").tokenizer
    return [
        encode_example(
            tokenizer,
            [
                SYSTEM,
                {"role": "user", "content": f"task {number} " + "x" * number**3 * 3},
                {"role": "assistant", "content": "answer" * (number + 1)},
            ],
        )
        for number in range(6)
    ]


def trainable(folder: Path, **settings: object) -> torch.nn.Module:
    """A model whose adapters are far from zero, so that every gradient is exercised."""
    model = add_lora(load(folder, dtype="float32").model, LoraSettings(**settings), seed=1)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.1)
    return model


def padded_loss(model: torch.nn.Module, examples: list[EncodedExample]) -> torch.Tensor:
    """The textbook way: one row per example, padded, masked."""
    length = max(len(example.ids) for example in examples)
    ids, mask = torch.zeros(2, len(examples), length, dtype=torch.long)
    labels = torch.full((len(examples), length), -100)
    for row, example in enumerate(examples):
        size = len(example.ids)
        ids[row, :size], mask[row, :size] = torch.tensor(example.ids), 1
        labels[row, example.trained_from : size] = torch.tensor(example.ids[example.trained_from :])
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_training(model: torch.nn.Module, examples: list[EncodedExample], max_tokens: int) -> None:
    packs = pack(examples, max_tokens=max_tokens)
    total = sum(batch.num_trained_tokens for batch in packs)
    losses = [answer_loss(model, batch, num_trained_tokens=total) for batch in packs]
    sum(losses).backward()
    packed = gradients(model)
    model.zero_grad()
    expected = padded_loss(model, examples)
    expected.backward()
    assert sum(loss.item() for loss in losses) == pytest.approx(expected.item(), abs=1e-5)
    reference = gradients(model)
    assert packed.keys() == reference.keys()
    for name, gradient in reference.items():
        assert gradient.norm() > 0, name
        assert (packed[name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_one_pack_equals_the_padded_batch(folder: Path, examples: list[EncodedExample]) -> None:
    model = trainable(folder)
    assert lean(model) is not None
    assert len(pack(examples, max_tokens=10_000)) == 1
    assert_equal_training(model, examples, 10_000)


def test_several_packs_equal_the_padded_batch(folder: Path, examples: list[EncodedExample]) -> None:
    assert len(pack(examples, max_tokens=700)) > 1
    assert_equal_training(trainable(folder), examples, 700)


def test_an_adapter_on_some_layers_only_equals_the_padded_batch(folder: Path, examples: list[EncodedExample]) -> None:
    assert_equal_training(trainable(folder, target_modules=("q_proj", "down_proj"), use_rslora=True), examples, 10_000)


def test_an_adapter_that_only_transformers_computes_equals_the_padded_batch(
    folder: Path, examples: list[EncodedExample]
) -> None:
    model = trainable(folder, use_dora=True)
    assert lean(model) is None
    assert_equal_training(model, examples, 10_000)


def test_examples_without_a_common_prefix_equal_the_padded_batch(folder: Path, examples: list[EncodedExample]) -> None:
    odd = EncodedExample((9, *examples[0].ids[1:]), examples[0].trained_from)
    assert common_prefix_length([odd, examples[1]]) == 0
    assert_equal_training(trainable(folder), [odd, examples[1]], 10_000)


def test_bfloat16_stays_near_float32(folder: Path, examples: list[EncodedExample]) -> None:
    exact = answer_loss(trainable(folder), pack(examples, max_tokens=10_000)[0])
    model = add_lora(load(folder, dtype="bfloat16").model, LoraSettings(), seed=1)
    reference = trainable(folder)
    model.load_state_dict({k: v for k, v in reference.state_dict().items() if "lora_" in k}, strict=False)
    loss = answer_loss(model, pack(examples, max_tokens=10_000)[0])
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    assert all(gradient.dtype == torch.float32 for gradient in gradients(model).values())


def test_the_loss_falls_when_trained(folder: Path, examples: list[EncodedExample]) -> None:
    model = add_lora(load(folder, dtype="float32").model, LoraSettings(), seed=1)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    batch = pack(examples, max_tokens=10_000)[0]
    losses = []
    for _ in range(8):
        loss = answer_loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_a_pack_computes_the_prefix_once(examples: list[EncodedExample]) -> None:
    (batch,) = pack(examples, max_tokens=10_000)
    prefix = common_prefix_length(examples)
    assert batch.num_tokens == prefix + sum(len(example.ids) - prefix for example in examples)
    assert batch.num_examples == 6
    assert batch.num_trained_tokens == sum(len(example.ids) - example.trained_from for example in examples)


def test_equal_examples_keep_a_token_of_their_own(examples: list[EncodedExample]) -> None:
    (batch,) = pack([examples[0], examples[0]], max_tokens=10_000)
    assert all(end > start for start, end in batch.layout.parts)


def test_an_example_that_is_too_long_is_named(examples: list[EncodedExample]) -> None:
    with pytest.raises(LimitExceeded, match="example 5") as refusal:
        pack(examples, max_tokens=len(examples[4].ids) + 5)
    assert str(len(examples[5].ids)) in refusal.value.problem


def test_probabilities_computed_twice_equal_the_padded_batch(
    folder: Path, examples: list[EncodedExample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_model, "_KEPT_BYTES", 0)
    assert_equal_training(trainable(folder), examples, 10_000)
