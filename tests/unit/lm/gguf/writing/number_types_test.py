"""Every number type decodes to what was encoded, within the error that its bits allow, in the mix of llama.cpp."""

from dataclasses import dataclass

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize

from services.lm.conversion.writing.number_types import NUMBER_TYPES, encode, number_type, stored_bytes, tensor_kinds
from services.lm.errors import InvalidModelFile

NOISE = np.random.default_rng(0)
# Root mean square of the error over that of the numbers, for normal noise. Those of the K types are at most a
# hundredth above what llama.cpp's own quantiser reaches on the same numbers.
ERRORS = {
    Kind.F32: 0.0,
    Kind.F16: 3e-4,
    Kind.BF16: 2e-3,
    Kind.Q8_0: 0.006,
    Kind.Q6_K: 0.0180,
    Kind.Q5_K: 0.0366,
    Kind.Q4_K: 0.0724,
    Kind.Q5_0: 0.045,
    Kind.Q5_1: 0.040,
    Kind.Q4_0: 0.088,
    Kind.Q4_1: 0.080,
}


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    is_matrix: bool = True


def decoded(values: np.ndarray, kind: Kind) -> np.ndarray:
    content = encode(values, kind, "t")
    assert len(content) == stored_bytes(kind, values.shape)
    stored = np.frombuffer(content, dtype=np.uint8).reshape(*values.shape[:-1], -1)
    return np.asarray(dequantize(stored, kind)).reshape(values.shape).astype(np.float32)


def error(values: np.ndarray, kind: Kind) -> float:
    return float(np.sqrt(np.mean((decoded(values, kind) - values) ** 2) / np.mean(values**2)))


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.name)
def test_what_is_encoded_decodes_within_the_error_of_its_bits(kind: Kind) -> None:
    values = (NOISE.standard_normal((48, 1024)) * 0.02).astype(np.float32)
    assert error(values, kind) <= ERRORS[kind]


@pytest.mark.parametrize("kind", [Kind.TQ1_0, Kind.TQ2_0], ids=lambda kind: kind.name)
def test_numbers_of_three_values_are_kept(kind: Kind) -> None:
    values = (NOISE.integers(-1, 2, (3, 512)) * 0.5).astype(np.float32)
    assert np.array_equal(decoded(values, kind), values)


@pytest.mark.parametrize("kind", [Kind.Q4_K, Kind.Q5_K, Kind.Q6_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, 256)),
        np.full((1, 256), 0.5),
        np.full((1, 256), -0.5),
        np.full((1, 256), 1e-12),
        np.eye(1, 256) * 3.0,
        np.repeat([[1.0, 0, 0, 0, -2.0, 0, 0, 0.25]], 32, axis=1),
        np.full((1, 256), 60000.0),
    ],
    ids=("zeros", "equal", "negative", "tiny", "lonely", "flat groups", "large"),
)
def test_blocks_without_width_are_kept(kind: Kind, values: np.ndarray) -> None:
    numbers = values.astype(np.float32)
    assert np.abs(decoded(numbers, kind) - numbers).max() <= max(np.abs(numbers).max() / 15, 1e-8)


@pytest.mark.parametrize("kind", [Kind.Q4_K, Kind.Q5_K, Kind.Q6_K], ids=lambda kind: kind.name)
def test_a_row_gets_the_same_bytes_whatever_stands_beside_it(kind: Kind) -> None:
    values = (NOISE.standard_t(2, (9, 5120)) * 0.02).astype(np.float32)
    alone = b"".join(bytes(encode(values[row : row + 1], kind, "t")) for row in range(len(values)))
    assert bytes(encode(values, kind, "t")) == alone


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, 1e6])
@pytest.mark.parametrize("kind", [Kind.F16, Kind.Q8_0, Kind.Q4_K], ids=lambda kind: kind.name)
def test_a_number_that_the_type_cannot_hold_is_refused_by_the_tensors_name(kind: Kind, number: float) -> None:
    values = np.ones((2, 256), dtype=np.float32)
    values[1, 7] = number
    with pytest.raises(InvalidModelFile, match=r"blk\.0: It holds numbers that are infinite, none, or too large"):
        encode(values, kind, "blk.0")


def kinds(name: str, *, layers: int = 16, width: int = 1024, head: bool = True) -> dict[str, str]:
    parts = ("attn_q", "attn_v", "ffn_down")
    tensors = [Tensor("token_embd.weight", (512, width)), Tensor("output_norm.weight", (width,), is_matrix=False)]
    tensors += [Tensor("output.weight", (512, width))] * head
    tensors += [Tensor(f"blk.{layer}.{part}.weight", (64, width)) for layer in range(layers) for part in parts]
    mix = tensor_kinds(tensors, number_type(name))
    return {tensor.name: kind.name for tensor, kind in zip(tensors, mix, strict=True)}


def test_q4_k_m_gives_better_types_to_head_and_important_layers() -> None:
    mix = kinds("q4_k_m")
    assert (mix["output.weight"], mix["token_embd.weight"], mix["output_norm.weight"]) == ("Q6_K", "Q4_K", "F32")
    # As llama-quantize chose for a model of 16 layers.
    better = {0, 1, 4, 7, 10, 13, 14, 15}
    assert {layer for layer in range(16) if mix[f"blk.{layer}.attn_v.weight"] == "Q6_K"} == better
    assert {layer for layer in range(16) if mix[f"blk.{layer}.ffn_down.weight"] == "Q6_K"} == better
    assert all(mix[f"blk.{layer}.attn_q.weight"] == "Q4_K" for layer in range(16))


@pytest.mark.parametrize(
    ("name", "width", "row", "head"),
    [
        ("Q4_K_M", 576, "Q5_0", "Q8_0"),
        ("Q5_K_S", 576, "Q5_1", "Q8_0"),
        ("Q6_K", 576, "Q8_0", "Q8_0"),
        ("TQ2_0", 576, "Q4_0", "Q8_0"),
        ("Q4_0", 576, "Q4_0", "Q8_0"),
        ("Q8_0", 576, "Q8_0", "Q8_0"),
        ("Q4_K_M", 40, "F16", "F16"),
        ("Q8_0", 40, "F16", "F16"),
        ("BF16", 40, "BF16", "BF16"),
    ],
)
def test_rows_that_fill_no_block_get_another_type(name: str, width: int, row: str, head: str) -> None:
    mix = kinds(name, width=width)
    assert (mix["blk.3.attn_q.weight"], mix["output.weight"]) == (row, head)


def test_a_table_that_is_also_the_head_gets_the_heads_type() -> None:
    assert kinds("Q4_0", head=False)["token_embd.weight"] == "Q6_K"


def test_the_small_mix_spends_on_the_first_layers_alone() -> None:
    mix = kinds("Q4_K_S")
    assert {layer for layer in range(16) if mix[f"blk.{layer}.attn_v.weight"] == "Q5_K"} == {0, 1, 2, 3}
    assert {layer for layer in range(16) if mix[f"blk.{layer}.ffn_down.weight"] == "Q5_K"} == {0, 1}


def test_an_unknown_number_type_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidModelFile, match=r"'IQ2_XS'.*Q4_K_M") as refusal:
        number_type("IQ2_XS")
    assert all(name in refusal.value.next_step for name in NUMBER_TYPES)
