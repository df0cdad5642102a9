"""How each ggml tensor type is stored: (numbers per block, bytes per block)."""

from typing import Final

from services.lm.errors import InvalidModelFile

F32: Final = 0
F16: Final = 1
BF16: Final = 30
NVFP4: Final = 40

# Source: the block structures in ggml-common.h; only types that the gguf package can dequantise are listed.
_BLOCKS: Final[dict[int, tuple[str, int, int]]] = {
    F32: ("F32", 1, 4),
    F16: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    BF16: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    NVFP4: ("NVFP4", 64, 36),
}
_MAX_ELEMENTS: Final = 1 << 40


def type_name(kind: int) -> str:
    """The name people know a tensor type by, for example `Q4_1`."""
    return _BLOCKS[kind][0] if kind in _BLOCKS else f"type {kind}"


def storage_bytes(kind: int, shape: tuple[int, ...], place: str) -> int:
    """Bytes that a tensor of this type and shape (outermost first) takes in the file.

    Raises:
        InvalidModelFile: The type is unknown, or the shape is empty, absurd or not whole blocks.
    """
    if kind not in _BLOCKS:
        raise InvalidModelFile(
            f"The tensor type {kind} is not supported.", "Choose a file with another quantisation.", place
        )
    _, block, size = _BLOCKS[kind]
    count = 1
    for length in shape:
        count *= length
        if not 1 <= count <= _MAX_ELEMENTS:
            raise InvalidModelFile(f"The shape {shape} is impossible.", "Fetch the file again.", place)
    if shape[-1] % block:
        raise InvalidModelFile(
            f"Rows of {shape[-1]} numbers do not fill blocks of {block}.", "Fetch the file again.", place
        )
    return count // block * size
