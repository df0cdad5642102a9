"""What the limited process says of a tokenizer."""

from pathlib import Path

import pytest

from services.chassis.errors import InvalidArgument
from services.registry.importers.inspection import ask_tokenizer
from tests.unit.lm.folders.small_tokenizers import byte_level, write


async def test_a_class_that_gives_other_ids_is_named(tmp_path: Path) -> None:
    (note,) = await ask_tokenizer(write(tmp_path / "m", byte_level(), tokenizer_class="GPT2Tokenizer"))
    assert "'GPT2Tokenizer' give other ids" in note
    assert "Steps:" in note


async def test_a_tokenizer_that_lacks_what_its_settings_need_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"<\|absent\|>.*eos_token"):
        await ask_tokenizer(write(tmp_path / "m", byte_level(), eos_token="<|absent|>"))


async def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    (note,) = await ask_tokenizer(tmp_path)
    assert "tokenizer.json" in note
