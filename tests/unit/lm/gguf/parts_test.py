"""A model that is split over several GGUF files is imported whole, or refused with the name of what is wrong."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from services.lm.conversion.gguf import convert_gguf
from services.lm.conversion.layout import inspect_gguf
from services.lm.errors import InvalidModelFile
from services.lm.folders import folder_digest
from tests.unit.lm.gguf.models import weights, write, write_split, written


def set_number(file: Path, key: bytes, value: int) -> None:
    """Change a number of the header in place; the type that stands before it tells how many bytes it has."""
    content = file.read_bytes()
    start = content.index(key) + len(key)
    (kind,) = struct.unpack("<I", content[start : start + 4])
    form = {2: "<H", 4: "<I", 5: "<i"}[kind]
    end = start + 4 + struct.calcsize(form)
    file.write_bytes(content[: start + 4] + struct.pack(form, value) + content[end:])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_any_part_stands_for_the_whole_model(tmp_path: Path, number: int) -> None:
    parts = write_split(tmp_path / "parts")
    assert len(parts) == 3
    assert inspect_gguf(parts[number])["files"] == [part.name for part in parts]
    assert written(parts[number], tmp_path / "out") == "ZZZZ"
    convert_gguf(write(tmp_path / "whole.gguf"), tmp_path / "whole")
    assert folder_digest(tmp_path / "whole") == folder_digest(tmp_path / "out")


def test_a_first_part_without_tensors_is_read(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "parts", small_first_shard=True)
    assert written(parts[0], tmp_path / "out") == "ZZZZ"


def test_a_model_without_a_head_is_tied_also_in_parts(tmp_path: Path) -> None:
    tied = {name: values for name, values in weights().items() if name != "output.weight"}
    assert written(write_split(tmp_path / "parts", tensors=tied)[0], tmp_path / "out") == "QQQQ"


@pytest.mark.parametrize("imported", [0, 2])
def test_a_missing_part_is_named(tmp_path: Path, imported: int) -> None:
    parts = write_split(tmp_path / "parts")
    parts[1].unlink()
    with pytest.raises(InvalidModelFile, match=rf"part {imported + 1} of 3.*00002-of-00003.*Put all parts"):
        inspect_gguf(parts[imported])
    with pytest.raises(InvalidModelFile):
        convert_gguf(parts[imported], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def renamed(parts: list[Path]) -> Path:
    return parts[0].rename(parts[0].with_name("model.gguf"))


def renumbered(parts: list[Path]) -> Path:
    return parts[0].rename(parts[0].with_name("tiny-00001-of-00004.gguf"))


def swapped(parts: list[Path]) -> Path:
    kept = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    parts[2].write_bytes(kept)
    return parts[0]


def of_another_count(parts: list[Path]) -> Path:
    set_number(parts[2], b"split.count", 4)
    return parts[0]


def of_another_total(parts: list[Path]) -> Path:
    set_number(parts[1], b"split.tensors.count", 9)
    return parts[0]


def with_a_wrong_total(parts: list[Path]) -> Path:
    for part in parts:
        set_number(part, b"split.tensors.count", 13)
    return parts[0]


def with_an_impossible_number(parts: list[Path]) -> Path:
    set_number(parts[0], b"split.no", 3)
    return parts[0]


def truncated(parts: list[Path]) -> Path:
    parts[2].write_bytes(parts[2].read_bytes()[:-64])
    return parts[0]


def of_another_model(parts: list[Path]) -> Path:
    whole = write(parts[0].parent / "other.gguf", facts={"general.name": "other", "split.count": 3})
    content = whole.read_bytes()
    assert b"split.count" in content
    parts[2].write_bytes(content)
    return parts[0]


def with_a_tensor_twice(parts: list[Path]) -> Path:
    # Each part is named like the second, so that it holds the second's tensors again.
    content = parts[1].read_bytes()
    parts[2].write_bytes(content)
    set_number(parts[2], b"split.no", 2)
    return parts[0]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (renamed, "part 1 of 3, and its name says otherwise.*NAME-00001-of-00003"),
        (renumbered, "part 1 of 3, and its name says otherwise"),
        (swapped, "00002-of-00003.*due as part 2 of 3.*number 2"),
        (of_another_count, "00003-of-00003.*part 3 of 3.*of 4"),
        (of_another_total, "00002-of-00003.*12 tensors in all.*with 9"),
        (with_a_wrong_total, "13 tensors are announced, the 3 parts have 12"),
        (with_an_impossible_number, "Part 3 of 3"),
        (truncated, "00003-of-00003.*would end at"),
        (of_another_model, "00003-of-00003"),
        (with_a_tensor_twice, "more than one part"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    tmp_path: Path, spoil: Callable[[list[Path]], Path], problem: str
) -> None:
    file = spoil(write_split(tmp_path / "parts"))
    with pytest.raises(InvalidModelFile, match=problem):
        inspect_gguf(file)


def test_a_part_with_metadata_of_another_model_is_refused(tmp_path: Path) -> None:
    parts = write_split(tmp_path / "parts", facts={"general.name": "one"})
    others = write_split(tmp_path / "others", facts={"general.name": "two"})
    parts[2].write_bytes(others[0].read_bytes())
    set_number(parts[2], b"split.no", 2)
    with pytest.raises(InvalidModelFile, match=r"00003-of-00003.*another model.*general\.name"):
        inspect_gguf(parts[0])


def test_a_name_of_a_part_without_metadata_of_one_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "tiny-00001-of-00002.gguf")
    with pytest.raises(InvalidModelFile, match="part 1 of 2, its metadata know nothing"):
        inspect_gguf(file)
    assert inspect_gguf(write(tmp_path / "tiny-00001-of-00001.gguf"))["files"] == ["tiny-00001-of-00001.gguf"]


def test_tensors_that_a_single_file_announces_and_lacks_are_seen(tmp_path: Path) -> None:
    file = write(tmp_path / "m.gguf", facts={"split.no": 0, "split.count": 1, "split.tensors.count": 13})
    with pytest.raises(InvalidModelFile, match="13 tensors are announced, the file has 12"):
        inspect_gguf(file)


@pytest.mark.parametrize("name", ["m.gguf.part1of2", "m.gguf-split-a", "m.gguf.001"])
def test_a_piece_of_a_file_that_was_cut_says_so(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / "m.gguf").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidModelFile, match=re.escape("cat PIECES > model.gguf")):
        inspect_gguf(tmp_path / name)
