from pathlib import Path

import pytest

from services.lm.folders.publish import published


def test_a_published_folder_appears_whole_with_its_subfolders(tmp_path: Path) -> None:
    with published(tmp_path / "out") as folder:
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
        (folder / "config.json").write_text("{}")
        assert not (tmp_path / "out").exists()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        "out/additional_chat_templates/tool_use.jinja",
        "out/config.json",
    ]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), published(tmp_path / "out") as folder:
        (folder / "inner").mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
