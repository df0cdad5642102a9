import hashlib
from pathlib import Path

import pytest

from services.lm.folders.publish import file_digests, published


def test_a_published_folder_keeps_its_subfolders_and_digests_name_them(tmp_path: Path) -> None:
    with published(tmp_path / "out") as folder:
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
        (folder / "config.json").write_text("{}")
    digests = file_digests(tmp_path / "out")
    assert list(digests) == ["additional_chat_templates/tool_use.jinja", "config.json"]
    assert digests["config.json"] == {"sha256": hashlib.sha256(b"{}").hexdigest(), "size_bytes": 2}


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), published(tmp_path / "out") as folder:
        (folder / "inner").mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
