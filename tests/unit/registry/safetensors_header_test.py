import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.importers.safetensors_header import MAX_HEADER_BYTES, HeaderError, count_parameters
from tests.unit.registry.model_folders import NUM_PARAMETERS, write_raw_safetensors, write_safetensors


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}


def test_weights_are_counted(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors")
    assert count_parameters(tmp_path / "model.safetensors") == NUM_PARAMETERS


def test_metadata_counts_nothing(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": entry()}).encode()
    write_raw_safetensors(tmp_path / "m", header, bytes(16))
    assert count_parameters(tmp_path / "m") == 4


@pytest.mark.parametrize(
    ("header", "weights"),
    [
        ({"a": entry()}, bytes(15)),
        ({"a": entry()}, bytes(17)),
        ({"a": entry(), "b": entry()}, bytes(16)),
        ({"a": entry(), "b": entry(data_offsets=[20, 36])}, bytes(36)),
        ({"a": entry(shape=[2, 3])}, bytes(16)),
        ({"a": entry(shape=[2**40, 2**40])}, bytes(16)),
        ({"a": entry(shape=[-2, -2])}, bytes(16)),
        ({"a": entry(shape=[True, 4])}, bytes(16)),
        ({"a": entry(shape="22")}, bytes(16)),
        ({"a": entry(dtype="PICKLE")}, bytes(16)),
        ({"a": entry(dtype=["F32"])}, bytes(16)),
        ({"a": entry(data_offsets=[0])}, bytes(16)),
        ({"a": entry(data_offsets=[16, 0])}, bytes(16)),
        ({"a": 7}, bytes(16)),
        ({}, b""),
        ([], b""),
    ],
)
def test_a_header_that_disagrees_with_its_file_is_refused(tmp_path: Path, header: Any, weights: bytes) -> None:
    write_raw_safetensors(tmp_path / "m", json.dumps(header).encode(), weights)
    with pytest.raises(HeaderError):
        count_parameters(tmp_path / "m")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\0\0",
        b"\xff" * 8,
        (2**62).to_bytes(8, "little") + b"{}",
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + bytes(64),
        (2).to_bytes(8, "little") + b"{]",
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        b"\x80\x04\x95" + bytes(40),
        b"PK\x03\x04" + bytes(40),
        (40_000).to_bytes(8, "little") + b"[" * 40_000,
        (36).to_bytes(8, "little") + b'{"a": {"dtype": 1}, "a": {"dtype": 1}}',
    ],
)
def test_what_is_not_safetensors_is_refused_with_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(HeaderError):
        count_parameters(tmp_path / "m")


@given(st.binary(max_size=200))
def test_whatever_the_header_is_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "m"
    write_raw_safetensors(path, raw, bytes(16))
    with pytest.raises(HeaderError):
        count_parameters(path)
