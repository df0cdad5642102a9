"""Chat templates by name, which are kept beside the default one."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile
from tests.unit.lm.gguf.models import write

KEY = "tokenizer.chat_template"
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def test_the_template_for_functions_is_kept_and_used_when_functions_are_offered(tmp_path: Path) -> None:
    facts = {KEY: "plain", f"{KEY}.tool_use": "with {{ tools[0].function.name }}\n", f"{KEY}s": ["default", "tool_use"]}
    file = write(tmp_path / "m.gguf", facts=facts)
    assert inspect_gguf(file)["chat_templates"] == ["default", "tool_use"]
    convert_gguf(file, tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").exists()
    assert (tmp_path / "out" / "additional_chat_templates" / "tool_use.jinja").exists()
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    chat = [{"role": "user", "content": "x"}]
    assert loaded.apply_chat_template(chat, tokenize=False) == "plain"
    assert loaded.apply_chat_template(chat, tools=TOOLS, tokenize=False).strip() == "with f"


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({f"{KEY}s": ["tool_use"]}, "'tool_use' is announced and missing"),
        ({f"{KEY}.../../evil": "x"}, "has the name"),
        ({f"{KEY}./etc/x": "x"}, "has the name"),
        ({f"{KEY}.": "x"}, "has the name"),
        ({f"{KEY}.a": "x" * (2 << 20)}, "larger than"),
        ({f"{KEY}.t{index}": "x" for index in range(16)}, "more than 16"),
        ({f"{KEY}.rag": 5}, "not a string"),
    ],
)
def test_templates_without_a_safe_name_or_size_are_refused(tmp_path: Path, facts: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(write(tmp_path / "m.gguf", facts=facts))
