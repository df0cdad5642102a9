"""What a step keeps lies in memory that the next step takes again."""

from typing import Any

import pytest
import torch

from services.lm.adapters import LoraSettings, add_lora
from services.lm.decoder.model import lean
from services.lm.decoder.stack import Stack
from services.lm.loading import load
from services.lm.prefix import recomputing_contexts
from services.lm.tiny import write_tiny_model
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import ScoredSequences, accumulate, log_probs

LIKE = torch.empty(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    folder = tmp_path_factory.mktemp("stack") / "model"
    write_tiny_model(folder, num_layers=2)
    return add_lora(load(folder, dtype="float32").model, LoraSettings(r=4), seed=1)


ROWS = [TrainedSequence((*range(3, 80), end), ((70, 78),)) for end in range(80, 90)]


def stepped(model: torch.nn.Module) -> list[torch.Tensor]:
    """Take a step, and return its rows' log-probabilities."""
    values: dict[int, torch.Tensor] = {}

    def loss_of(scored: ScoredSequences) -> torch.Tensor:
        values.update(zip(scored.places, scored.log_probs, strict=True))
        return -torch.cat(scored.log_probs).sum()

    accumulate(model, ROWS, loss_of, max_tokens=120)
    return [values[place].detach() for place in range(len(ROWS))]


def test_tensors_lie_beside_each_other_and_what_is_given_back_is_taken_again() -> None:
    stack = Stack()
    first = stack.empty(LIKE, 3, 5).fill_(1)
    place = stack.top
    second = stack.empty(LIKE.to(torch.bfloat16), 7, 2).fill_(2)
    assert (first == 1).all()
    assert (second == 2).all()
    assert second.dtype == torch.bfloat16
    stack.give_back(place)
    assert stack.empty(LIKE, 2).data_ptr() == second.data_ptr()


def test_a_tensor_that_no_chunk_has_room_for_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.lm.decoder.stack._CHUNK_BYTES", 1 << 12)
    stack = Stack()
    tensors = [stack.empty(LIKE, count).fill_(count) for count in (800, 800, 9000, 1)]
    assert [set(tensor.tolist()) for tensor in tensors] == [{800}, {800}, {9000}, {1}]


def test_a_step_gives_all_back_and_its_weights_are_the_models_own(model: torch.nn.Module) -> None:
    stepped(model)
    decoder = lean(model)
    assert decoder is not None
    stack = decoder.stack
    assert stack.top == (0, 0)
    stepped(model)
    assert decoder.stack is stack
    storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    assert all(product._weight.untyped_storage().data_ptr() in storages for product in decoder.layers[0].products)


def test_a_step_that_was_broken_off_leaves_nothing_to_the_next(model: torch.nn.Module) -> None:
    def fails(_: object) -> torch.Tensor:
        raise ValueError

    rows = [TrainedSequence(tuple(range(3, 80)), ((70, 77),))]
    with pytest.raises(ValueError, match=r"^$"):
        accumulate(model, rows, fails, max_tokens=120)
    decoder = lean(model)
    assert decoder is not None
    assert decoder.stack.top != (0, 0)
    stepped(model)
    assert decoder.stack.top == (0, 0)


def test_an_adapters_layers_are_computed_again_where_memory_is_to_be_saved(model: Any) -> None:
    calls: list[object] = []
    model.train().zero_grad()
    stepped(model)
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.zero_grad()
    model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": recomputing_contexts})
    layer = model.get_base_model().model.layers[0]
    handle = layer.self_attn.q_proj.register_forward_hook(lambda *_: calls.append(None))
    trained = stepped(model)
    handle.remove()
    # A reference is computed as what it is compared with, to the bit.
    assert all(map(torch.equal, trained, log_probs(model.eval(), ROWS, max_tokens=120)))
    model.activation_checkpointing_disable()
    assert len(calls) == 2
    for name, gradient in expected.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-5)
