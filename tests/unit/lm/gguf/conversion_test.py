"""GGUF in, safetensors out; nothing hostile gets past the header, and nothing half-written stays."""

import json
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from services.lm.adapters import LoraSettings, add_lora, merge_adapter, save_adapter
from services.lm.conversion import __main__ as conversion
from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile, LmError
from services.lm.loading import load, load_tokenizer
from services.lm.tiny import write_tiny_model
from tests.machine import PATIENCE_SECONDS
from tests.unit.lm.gguf.gguf_files import ARRAY, UINT32, array, hostile_files, pair, preamble, write_tiny_gguf

LIMITS = ("--max-memory-bytes", str(256 << 20), "--max-cpu-seconds", "1")
HOSTILE = hostile_files()
# Only the limits of a process end its reading.
LARGE = "many_short_arrays"


def run(*arguments: str | Path) -> tuple[int, list[dict[str, object]]]:
    command = [sys.executable, "-m", "services.lm.conversion", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert lines, finished.stderr.decode()
    return finished.returncode, lines


def random_model(architecture: str) -> tuple[object, torch.nn.Module]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=128,
        tie_word_embeddings=architecture != "qwen2",
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return config, model


def write_gguf(path: Path, architecture: str = "llama", quantised: bool = False) -> torch.nn.Module:
    config, model = random_model(architecture)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight")
    write_tiny_gguf(path, config, weights, architecture=architecture, quantised=quantised)
    return model


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_a_converted_model_computes_the_same_logits(tmp_path: Path, architecture: str) -> None:
    model = write_gguf(tmp_path / "model.gguf", architecture)
    result = convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
    converted = load(tmp_path / "out", dtype="float32").model
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.allclose(converted(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-5)
    assert result["dtype"] == "float32"


def test_a_quantised_model_is_dequantised_to_float16(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "model.gguf", quantised=True)
    assert convert_gguf(tmp_path / "model.gguf", tmp_path / "out")["dtype"] == "float16"
    converted = load(tmp_path / "out", dtype="float32").model
    for name, weight in converted.state_dict().items():
        np.testing.assert_allclose(weight, model.state_dict()[name], atol=0.02)
    assert not any("quant" in key for key in json.loads((tmp_path / "out" / "config.json").read_text()))


def test_the_tokenizer_splits_digits_and_knows_special_tokens_and_the_template(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
    tokenizer = load_tokenizer(tmp_path / "out")
    assert tokenizer.tokenize("hell<|im_end|>12") == ["he", "ll", "<|im_end|>", "1", "2"]
    assert tokenizer.eos_token_id == 2
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hé"}], tokenize=False) == "hé"
    assert tokenizer.decode(tokenizer.encode("hé 1\n")) == "hé 1\n"


def test_inspection_tells_what_the_file_is(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", quantised=True)
    code, (facts,) = run("inspect", tmp_path / "model.gguf", *LIMITS)
    assert (code, facts["ok"], facts["architecture"], facts["quantization"]) == (0, True, "llama", "Q8_0")
    assert facts["tokenizer"] == "gpt2/smollm"
    assert facts["chat_template"] is True
    assert facts["file_bytes"] == (tmp_path / "model.gguf").stat().st_size


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {LARGE}))
def test_a_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    content, problem = HOSTILE[name]
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(LmError, match=problem) as refusal:
        inspect_gguf(tmp_path / "model.gguf")
    assert refusal.value.next_step


@pytest.mark.parametrize("name", ["array_of_2_to_40", LARGE])
def test_the_process_refuses_a_hostile_file_within_its_limits(tmp_path: Path, name: str) -> None:
    content, problem = HOSTILE[name]
    (tmp_path / "model.gguf").write_bytes(content)
    code, lines = run("inspect", tmp_path / "model.gguf", *LIMITS)
    assert (code, lines[-1]["ok"]) == (2, False)
    assert lines[-1]["next_step"]
    assert re.search(problem, str(lines[-1]["problem"])), lines[-1]


def test_the_declared_array_of_two_to_the_forty_is_113_bytes_long() -> None:
    assert len(HOSTILE["array_of_2_to_40"][0]) == 113


def test_running_out_of_memory_is_a_refusal(tmp_path: Path) -> None:
    numbers = array(UINT32, 1 << 20, b"\1\2\3\4" * (1 << 20))
    (tmp_path / "model.gguf").write_bytes(preamble(0, 2) + pair("a", ARRAY, numbers) + pair("b", ARRAY, numbers))
    code, lines = run("inspect", tmp_path / "model.gguf", "--max-memory-bytes", str(60 << 20))
    assert code == 2
    assert "memory" in str(lines[-1]["problem"])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused_and_leaves_nothing(tmp_path: Path, share: float) -> None:
    write_gguf(tmp_path / "model.gguf")
    content = (tmp_path / "model.gguf").read_bytes()
    (tmp_path / "model.gguf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InvalidModelFile):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["model.gguf"]


def test_a_tensor_of_another_shape_than_the_metadata_is_refused(tmp_path: Path) -> None:
    config, model = random_model("llama")
    weights = {name: t.numpy() for name, t in model.state_dict().items() if name != "lm_head.weight"}
    weights["model.norm.weight"] = np.zeros(32, dtype=np.float32)
    write_tiny_gguf(tmp_path / "model.gguf", config, weights)
    with pytest.raises(InvalidModelFile, match=r"\(32,\).*\(64,\)"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "out")


def test_an_architecture_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    config, _ = random_model("llama")
    write_tiny_gguf(tmp_path / "model.gguf", config, {}, architecture="gpt-oss")
    with pytest.raises(InvalidModelFile, match=r"gpt-oss.*sinks.*llama, qwen2, qwen3"):
        inspect_gguf(tmp_path / "model.gguf")


def test_conversion_from_the_command_line_reports_progress_and_facts(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    code, lines = run("gguf", tmp_path / "model.gguf", tmp_path / "out")
    assert code == 0
    assert lines[0]["event"] == "progress"
    assert lines[-1]["ok"] is True
    assert lines[-1]["dtype"] == "float32" and (tmp_path / "out" / "model.safetensors").exists()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    code, lines = run("inspect", tmp_path / "absent.gguf", *LIMITS)
    assert code == 2
    assert "cannot be read" in str(lines[-1]["problem"])


def test_merging_writes_a_model_that_needs_no_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tiny_model(tmp_path / "base")
    model = add_lora(load(tmp_path / "base", dtype="float32").model, LoraSettings(), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    save_adapter(model, tmp_path / "adapter")
    monkeypatch.setattr(sys, "argv", ["conversion", "merge", *(str(tmp_path / n) for n in ("base", "adapter", "out"))])
    conversion.main()
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["ok"] is True
    ids = torch.arange(30)[None]
    with torch.no_grad():
        merged = load(tmp_path / "out", dtype="float32").model(input_ids=ids).logits
        assert torch.allclose(merged, merge_adapter(model)(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("can't start new thread"), RuntimeError("can't allocate memory: you tried 9 bytes")],
)
def test_a_lack_of_memory_is_told_in_words(error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    lines: list[dict[str, object]] = []
    arguments = Namespace(max_memory_bytes=None, max_cpu_seconds=None, run=fail)
    with pytest.raises(SystemExit):
        conversion._run(arguments, lambda **fields: lines.append(fields))
    assert lines[-1]["problem"] == "It needs more memory than allowed."


def test_conversion_into_an_existing_folder_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf")
    (tmp_path / "out").mkdir()
    with pytest.raises(LmError, match="exists"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
