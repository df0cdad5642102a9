"""The TEMPLATE that an export writes, made from the chat template in the GGUF."""

from pathlib import Path

import pytest

from services.chassis.errors import InvalidArgument
from services.lm.conversion.go_template import render_go_template
from services.registry.jobs.exporters.ollama import template_of
from tests.unit.lm.gguf.models import write
from tests.unit.lm.go_template.learning_test import CHATML


async def test_a_template_renders_what_the_chat_template_in_the_gguf_does(tmp_path: Path) -> None:
    template, notes = await template_of(write(tmp_path / "m.gguf", facts={"tokenizer.chat_template": CHATML}))
    prompt = render_go_template(template, [{"role": "user", "content": "Hi"}])
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert notes == ()


async def test_functions_are_left_to_the_chat_template_in_the_gguf_unless_no_request_brings_any(
    tmp_path: Path,
) -> None:
    chat_template = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHATML
    gguf = write(tmp_path / "m.gguf", facts={"tokenizer.chat_template": chat_template})
    template, (note,) = await template_of(gguf)
    assert (template, "cannot write functions" in note) == ("", True)
    template, notes = await template_of(gguf, offers_functions=False)
    assert (bool(template), notes) == (True, ())


async def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(InvalidArgument):
        await template_of(tmp_path / "m.gguf")
