import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from services.lm.errors import InvalidModelFile
from services.registry.importers.folder_inspection import inspect_adapter, inspect_full, inspect_source, main
from tests.unit.registry.model_folders import (
    CONFIG,
    NUM_PARAMETERS,
    write_adapter,
    write_model,
    write_safetensors,
)


def test_a_folder_says_what_it_is_and_which_files_are_taken(tmp_path: Path) -> None:
    found = inspect_source(write_model(tmp_path / "m"))
    assert (found["architecture"], found["num_parameters"], found["context_length"]) == ("llama", NUM_PARAMETERS, 512)
    assert set(found["files"]) == {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
    assert found["files"]["model.safetensors"] == (tmp_path / "m" / "model.safetensors").stat().st_size


def test_the_makers_copy_of_the_weights_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    write_safetensors(folder / "consolidated.safetensors")
    found = inspect_source(folder)
    assert found["num_parameters"] == NUM_PARAMETERS
    assert "consolidated.safetensors" in found["left"]


def test_what_a_trainer_leaves_is_named_and_never_opened(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    state = ("training_args.bin", "scheduler.pt", "optimizer.pt", "optimizer.safetensors", "rng_state_0.pth")
    state += ("trainer_state.json", "zero_to_fp32.py", "latest", "pytorch_model_fsdp.bin", "a.pkl", "modeling.py")
    for name in state:
        # A pickle is refused wherever a file is looked into.
        (folder / name).write_bytes(pickle.dumps({"a": 1}))
    for name in (".git", "runs", "global_step40"):
        (folder / name).mkdir()
        (folder / name / "state.pt").write_bytes(b"x")
    (folder / "broken").symlink_to("/nowhere")
    found = inspect_source(folder)
    assert set(found["files"]) == {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
    assert set(found["left"]) == {*state, ".git/", "runs/", "global_step40/", "broken"}


def test_private_keys_that_transformers_writes_are_no_foreign_code(tmp_path: Path) -> None:
    private = {"_sliding_window_pattern": 6, "_remove_final_layer_norm": False, "_attn_implementation_autoset": True}
    limits = {"time_step_limit": [0.0, {"__float__": "Infinity"}]}
    assert inspect_source(write_model(tmp_path / "m", **private, text_config=limits))["files"]


def test_named_chat_templates_are_taken_with_their_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    (folder / "additional_chat_templates" / "notes.txt").write_text("x")
    assert "additional_chat_templates/tool_use.jinja" in inspect_source(folder)["files"]
    assert inspect_source(folder)["left"] == []


def spoil_by_name(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"x")


def spoil_by_pickle(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(pickle.dumps({"a": 1}))


def spoil_config(**changes: object) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def write_template(text: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(text)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_by_pickle("model.safetensors"),
        spoil_by_pickle("tokenizer.json"),
        spoil_by_name("model.safetensors"),
        spoil_config(auto_map={"AutoModel": "evil.Model"}),
        spoil_config(text_config={"trust_remote_code": True}),
        spoil_config(_attn_implementation="evil/kernel"),
        spoil_config(model_type=7),
        spoil_config(model_type="../x"),
        spoil_config(quantization_config={"bits": 4}),
        lambda folder: (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["a.b", null]}}'),
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        lambda folder: (folder / "config.json").write_bytes(b" " * (5 << 20)),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "chat_template.jinja").write_bytes(b"x" * (300 * 1024)),
        lambda folder: (folder / "vocab.json").symlink_to("/etc/passwd"),
        lambda folder: (folder / "vocab.json").mkdir(),
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        lambda folder: (folder / "additional_chat_templates").symlink_to("/tmp"),
        lambda folder: (folder / "tokenizer_config.json").write_text('{"chat_template": [{"name": "default"}]}'),
        write_template("a" * 300_000),
    ],
)
def test_a_folder_that_is_unsafe_or_incomplete_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = write_model(tmp_path / "m")
    spoil(folder)
    with pytest.raises(InvalidModelFile) as refusal:
        inspect_source(folder)
    assert refusal.value.next_step


_PICKLES = ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json", "weights.PT")
_PICKLES += ("consolidated.00.pth", "adapter_model.bin")


@pytest.mark.parametrize("name", _PICKLES)
def test_a_pickle_is_left_aside_beside_safetensors_and_refused_alone(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / name).write_bytes(b"x")
    assert name in inspect_source(folder)["left"] and name not in inspect_source(folder)["files"]
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidModelFile) as refusal:
        inspect_source(folder)
    assert refusal.value.place == name and refusal.value.next_step.startswith("Ask for a copy")


def test_links_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    write_model(snapshot)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    (snapshot / "model.safetensors").rename(blobs / "123")
    (snapshot / "model.safetensors").symlink_to("../../blobs/123")
    assert inspect_source(snapshot)["num_parameters"] == NUM_PARAMETERS


def test_a_full_folder_of_our_own_may_be_quantized(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", quantization_config={"bits": 4})
    assert inspect_full(folder)["num_parameters"] == NUM_PARAMETERS


def test_an_adapter_leaves_architecture_and_length_to_its_base(tmp_path: Path) -> None:
    found = inspect_adapter(write_adapter(tmp_path / "a"))
    assert found == {"architecture": "", "num_parameters": 16, "context_length": 0}


def test_another_kind_of_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelFile):
        inspect_adapter(write_adapter(tmp_path / "a", peft_type="IA3"))


def test_a_refusal_is_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["full", str(tmp_path)]) == 1
    line = json.loads(capsys.readouterr().out)
    assert set(line) == {"problem", "next_step"}


def test_facts_are_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapter", str(write_adapter(tmp_path / "a"))]) == 0
    assert json.loads(capsys.readouterr().out)["num_parameters"] == 16


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# A", "apache-2.0"),
        ('---\ntags: [x]\nlicense: other\nlicense_name: "some-nd"\n---\n', "some-nd"),
        (
            "---\nlicense: other\nlicense_name: lfm1.0\nlicense_link: https://a.example/L\n---\n",
            "lfm1.0 (https://a.example/L)",
        ),
        ("# license: mit\n", ""),
        ("---\nlicense:\n- mit\n---\n", ""),
    ],
)
def test_the_licence_is_what_the_model_s_card_names(tmp_path: Path, card: str, licence: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "README.md").write_text(card)
    assert inspect_source(folder)["licence"] == licence
