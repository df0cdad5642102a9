"""The file's structure, read back by gguf's own reader and by the one that imports models."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader
from gguf.quants import dequantize

from services.lm.conversion.header import read_header
from services.lm.conversion.writing.gguf_file import Computed, Entry, file_bytes, type_entries, write_gguf
from services.lm.errors import InvalidModelFile

NOISE = np.random.default_rng(0)
METADATA = [
    ("general.architecture", "llama", "STRING"),
    ("llama.block_count", 2, "UINT32"),
    ("llama.rope.freq_base", 1e4, "FLOAT32"),
    ("tokenizer.ggml.add_bos_token", False, "BOOL"),
    ("tokenizer.ggml.tokens", ["a", "ü"], "ARRAY"),
    ("tokenizer.ggml.scores", [0.0, -1.5], "ARRAY"),
    ("tokenizer.chat_template", "{{ messages }}", "STRING"),
]


def numbers(*shape: int) -> Computed:
    return Computed(NOISE.standard_normal(shape).astype(np.float32))


def test_what_is_written_is_read_back_by_both_readers(tmp_path: Path) -> None:
    # More rows than one block has, and sizes that end between two alignments.
    contents = {"wide": numbers(700, 2048), "norm": numbers(5), "odd": numbers(3, 32), "small": numbers(2, 64)}
    kinds = dict(zip(contents, (Kind.F32, Kind.F32, Kind.Q8_0, Kind.BF16), strict=True))
    entries = [Entry(name, kinds[name], content) for name, content in contents.items()]
    steps: list[tuple[int, int]] = []
    metadata = [*METADATA, *type_entries(7, is_quantised=True)]
    write_gguf(tmp_path / "m.gguf", metadata, entries, lambda done, total: steps.append((done, total)))
    reader = GGUFReader(tmp_path / "m.gguf")
    facts = {key: reader.fields[key].contents() for key, _, _ in metadata}
    assert facts == {key: value for key, value, _ in metadata}
    assert [tensor.name for tensor in reader.tensors] == list(contents)
    for tensor in reader.tensors:
        content = contents[tensor.name].content
        assert tensor.tensor_type == kinds[tensor.name]
        stored = np.asarray(dequantize(tensor.data, tensor.tensor_type)).reshape(content.shape)
        assert np.allclose(stored, content, atol=0.02)
    header = read_header(tmp_path / "m.gguf")
    assert {tensor.name: tensor.shape for tensor in header.tensors} == {n: c.shape for n, c in contents.items()}
    assert header.metadata["tokenizer.ggml.tokens"] == ["a", "ü"]
    assert len(steps) > 4 and steps[-1] == (file_bytes(entries), file_bytes(entries))
    assert (tmp_path / "m.gguf").stat().st_size == header.tensors[0].offset + file_bytes(entries)


def test_the_numbers_may_be_made_from_all_rows_of_a_tensor(tmp_path: Path) -> None:
    content = numbers(4, 8)
    entry = Entry("t", Kind.F32, content, lambda rows: rows[::-1])
    write_gguf(tmp_path / "m.gguf", METADATA, [entry], lambda done, total: None)
    (tensor,) = GGUFReader(tmp_path / "m.gguf").tensors
    assert np.array_equal(tensor.data, content.content[::-1])


def test_a_tensor_that_its_type_cannot_hold_is_named(tmp_path: Path) -> None:
    entry = Entry("blk.0.ffn_up.weight", Kind.F16, Computed(np.full((2, 4), 1e5, dtype=np.float32)))
    with pytest.raises(InvalidModelFile, match=r"blk\.0\.ffn_up\.weight.*too large for F16"):
        write_gguf(tmp_path / "m.gguf", METADATA, [entry], lambda done, total: None)
