import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from services.lm.adapters import LoraSettings, add_lora, load_adapter, merge_adapter, read_settings, save_adapter
from services.lm.errors import AdapterMismatch, InvalidModelFile, LmError
from services.lm.loading import load
from services.lm.tiny import write_tiny_model
from services.lm.training.sequence import TrainedSequence
from services.lm.training.step import accumulate

EXAMPLES = [TrainedSequence((*range(3, 60), *range(start, start + 30)), ((70, 87),)) for start in (60, 90, 120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "model"
    write_tiny_model(folder)
    return folder


def base(folder: Path) -> torch.nn.Module:
    return load(folder, dtype="float32").model


def train(model: PeftModel, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(steps):
        work = accumulate(model, EXAMPLES, lambda scored: -torch.cat(scored.log_probs).mean(), max_tokens=1000)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(work.loss)
    return losses


def lora_weights(model: PeftModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" in name}


@pytest.fixture
def trained(folder: Path) -> PeftModel:
    model = add_lora(base(folder), LoraSettings(r=4, lora_alpha=8), seed=3)
    train(model, 5)
    return model


def test_equal_seeds_give_equal_adapters(folder: Path) -> None:
    one, two, other = (lora_weights(add_lora(base(folder), LoraSettings(), seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_only_the_adapter_is_trainable(folder: Path) -> None:
    model = add_lora(base(folder), LoraSettings(), seed=1)
    assert {"lora_" in name for name, p in model.named_parameters() if p.requires_grad} == {True}


def test_a_loaded_adapter_is_bit_equal_and_its_training_continues(
    folder: Path, trained: PeftModel, tmp_path: Path
) -> None:
    save_adapter(trained, tmp_path / "adapter", base="tiny")
    resumed = load_adapter(base(folder), tmp_path / "adapter", is_trainable=True)
    before = lora_weights(trained)
    assert all(torch.equal(before[name], weight) for name, weight in lora_weights(resumed).items())
    assert sum("lora_" in name for name, p in resumed.named_parameters() if p.requires_grad) == len(before)
    fresh = train(add_lora(base(folder), LoraSettings(r=4, lora_alpha=8), seed=3), 1)[0]
    straight, continued = train(trained, 3), train(resumed, 3)
    assert continued == pytest.approx(straight, abs=1e-6)
    assert continued[0] < fresh


def test_a_saved_adapter_is_what_peft_itself_loads(folder: Path, trained: PeftModel, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    ids = torch.tensor([list(EXAMPLES[0].ids)])
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = PeftModel.from_pretrained(plain, tmp_path / "adapter")
    trained.eval()
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=ids).logits, trained(input_ids=ids).logits, atol=1e-6)


def test_a_merged_model_computes_what_the_adapter_does(folder: Path, trained: PeftModel) -> None:
    ids = torch.tensor([list(EXAMPLES[0].ids)])
    trained.eval()
    with torch.no_grad():
        expected = trained(input_ids=ids).logits
        merged = merge_adapter(trained)(input_ids=ids).logits
    assert torch.allclose(merged, expected, atol=1e-5)
    assert not torch.allclose(merged, base(folder)(input_ids=ids).logits, atol=1e-3)


def test_loading_with_an_adapter_merges_it(folder: Path, trained: PeftModel, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    ids = torch.tensor([list(EXAMPLES[0].ids)])
    loaded = load(folder, dtype="float32", adapter=tmp_path / "adapter")
    assert loaded.adapter_digest
    with torch.no_grad():
        assert torch.allclose(
            loaded.model(input_ids=ids).logits, merge_adapter(trained)(input_ids=ids).logits, atol=1e-6
        )


def test_an_adapter_is_never_put_on_twice(folder: Path, trained: PeftModel, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    with pytest.raises(AdapterMismatch, match="already"):
        load_adapter(trained, tmp_path / "adapter", is_trainable=True)
    with pytest.raises(AdapterMismatch, match="already"):
        add_lora(trained, LoraSettings(), seed=1)


def test_an_adapter_of_another_model_is_refused_with_both_shapes(trained: PeftModel, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    write_tiny_model(tmp_path / "larger", hidden_size=96)
    with pytest.raises(AdapterMismatch) as refusal:
        load_adapter(base(tmp_path / "larger"), tmp_path / "adapter", is_trainable=False)
    assert "(4, 128)" in refusal.value.problem
    assert "(4, 192)" in refusal.value.problem
    assert "lora_A" in refusal.value.place


def test_a_model_without_the_target_modules_is_refused(folder: Path) -> None:
    with pytest.raises(AdapterMismatch, match="target_modules"):
        add_lora(base(folder), LoraSettings(target_modules=("absent",)), seed=1)


def test_an_existing_folder_is_not_overwritten(trained: PeftModel, tmp_path: Path) -> None:
    with pytest.raises(LmError, match="exists"):
        save_adapter(trained, tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "only LORA"),
        ({"modules_to_save": [1]}, "modules_to_save"),
        ({"auto_mapping": {"base_model_class": "os", "parent_library": "os"}}, "foreign code"),
        ({"r": -1}, "rank"),
        ({"bias": "all"}, "biases"),
        ({"target_modules": "all-linear"}, "list of names"),
    ],
)
def test_an_adapter_config_of_another_form_is_refused(
    trained: PeftModel, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    save_adapter(trained, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InvalidModelFile, match=problem):
        read_settings(tmp_path / "adapter")


def test_a_damaged_adapter_file_is_refused(folder: Path, trained: PeftModel, tmp_path: Path) -> None:
    save_adapter(trained, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InvalidModelFile, match="damaged"):
        load_adapter(base(folder), tmp_path / "adapter", is_trainable=True)
