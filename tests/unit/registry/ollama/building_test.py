"""Ollama's form of a GGUF, made from what the file itself says."""

import json
from pathlib import Path

import pytest

from services.chassis.errors import InvalidArgument
from services.go_template import render_go_template
from services.registry.ollama.building import OllamaSettings, build_store
from services.registry.ollama.store import read_store
from tests.unit.go_template.learning_test import CHATML
from tests.unit.lm.gguf.models import write


async def test_a_gguf_becomes_a_model_with_its_own_template_stops_and_settings(tmp_path: Path) -> None:
    gguf = write(tmp_path / "m.gguf", facts={"tokenizer.chat_template": CHATML, "general.file_type": 15})
    settings = OllamaSettings(num_ctx=4096, stop=("</attempt_completion>",), licenses=("MIT",))
    assert await build_store(tmp_path / "store", "roo:q4_k_m", gguf, settings) == ()
    model = read_store(tmp_path / "store")
    assert json.loads(model.text("params")) == {
        "stop": ["<|im_end|>", "<|endoftext|>", "</attempt_completion>"],
        "num_ctx": 4096,
    }
    config = json.loads(model.path_of(model.manifest.config).read_text())
    assert (config["model_family"], config["file_type"], config["model_format"]) == ("llama", "Q4_K_M", "gguf")
    prompt = render_go_template(model.text("template"), [{"role": "user", "content": "Hi"}])
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert model.path_of(model.manifest.layers[0]).read_bytes() == gguf.read_bytes()


async def test_a_chat_template_that_ollama_cannot_say_is_left_in_the_gguf_and_told(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    gguf = write(tmp_path / "m.gguf", facts={"tokenizer.chat_template": template})
    (note,) = await build_store(tmp_path / "store", "roo", gguf, OllamaSettings())
    assert "uses the chat template in the GGUF" in note
    assert not read_store(tmp_path / "store").text("template")


async def test_functions_are_left_to_the_chat_template_in_the_gguf_unless_no_request_brings_any(
    tmp_path: Path,
) -> None:
    template = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML
    gguf = write(tmp_path / "m.gguf", facts={"tokenizer.chat_template": template})
    (note,) = await build_store(tmp_path / "any", "roo", gguf, OllamaSettings())
    assert "cannot write functions" in note
    assert not read_store(tmp_path / "any").text("template")
    assert await build_store(tmp_path / "none", "roo", gguf, OllamaSettings(offers_functions=False)) == ()
    assert read_store(tmp_path / "none").text("template")


async def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(InvalidArgument):
        await build_store(tmp_path / "store", "roo", tmp_path / "m.gguf", OllamaSettings())
