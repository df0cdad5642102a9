"""What compiled loops are made of: numbers in bfloat16 or float32 as float32 and back, an exponential, and a cache.

Loops over a row read and write float32 in registers, so nothing is stored between the steps of a formula, and each
result is rounded once.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload, register_jitable
from torch import Tensor

# Its type tells of the first parameter, the context, which callers do not give.
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = _intrinsic
# What the loops read and write.
DTYPES: Final = frozenset({torch.bfloat16, torch.float32})
_INT16: Final = ir.IntType(16)
_INT32: Final = ir.IntType(32)
_FLOAT: Final = ir.FloatType()
# Sums may be added up in any order, which vectors need; what is no number stays what it is.
_FAST: Final = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Callable[..., Any]) -> Any:
    """The function as machine code, made at its first call and kept on disk where there is a place to keep it."""
    return _compiled(function, _FAST)


def compiled_exactly(function: Callable[..., Any]) -> Any:
    """The same, where each step is rounded as it is written: every processor gives the same bits."""
    return _compiled(function, set())


def _compiled(function: Callable[..., Any], freedom: set[str]) -> Any:
    options: dict[str, Any] = {"nogil": True, "fastmath": freedom, "error_model": "numpy", "boundscheck": False}
    dispatcher: Dispatcher = numba.njit(**options)(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:
        # No folder can be written: it is compiled in each process.
        return dispatcher
    return dispatcher


def numbers(x: Tensor) -> Any:
    """The rows of `x`, shape (..., columns) with columns side by side, as one array that begins at the first row.

    bfloat16 becomes its bits, uint16. Rows stand `x.stride(0)` apart.
    """
    flat = x if x.is_contiguous() else x.as_strided((x.stride(0) * (x.shape[0] - 1) + x.shape[1],), (1,))
    flat = flat.detach().view(-1)
    return (flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat).numpy()


@intrinsic
def _widened(_context: Any, bits: Any) -> Any:
    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        wide = builder.zext(arguments[0], _INT32)
        return builder.bitcast(builder.shl(wide, ir.Constant(_INT32, 16)), _FLOAT)

    return types.float32(types.uint16), code


@intrinsic
def _narrowed(_context: Any, value: Any) -> Any:
    """To the nearest bfloat16, the even one of two; what is no number stays none."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _INT32)
        odd = builder.and_(builder.lshr(bits, ir.Constant(_INT32, 16)), ir.Constant(_INT32, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(_INT32, 0x7FFF)))
        is_number = builder.fcmp_ordered("ord", arguments[0], arguments[0])
        chosen = builder.select(is_number, rounded, ir.Constant(_INT32, 0x7FC00000))
        return builder.trunc(builder.lshr(chosen, ir.Constant(_INT32, 16)), _INT16)

    return types.uint16(types.float32), code


@intrinsic
def nearest(_context: Any, value: Any) -> Any:
    """The whole number next to a float32, the even one of two."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [_FLOAT]), arguments)

    return types.float32(types.float32), code


@intrinsic
def _power_of_two(_context: Any, exponent: Any) -> Any:
    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(_INT32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(_INT32, 23)), _FLOAT)

    return types.float32(types.int32), code


@intrinsic
def order(_context: Any, value: Any) -> Any:
    """An int32 that sorts as the float32 does: the largest of many is found in vectors, which floats forbid."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return _flipped(builder, builder.bitcast(arguments[0], _INT32))

    return types.int32(types.float32), code


@intrinsic
def unordered(_context: Any, value: Any) -> Any:
    """The float32 that `order` was given."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(_flipped(builder, arguments[0]), _FLOAT)

    return types.float32(types.int32), code


def _flipped(builder: Any, bits: Any) -> Any:
    sign = builder.ashr(bits, ir.Constant(_INT32, 31))
    return builder.xor(bits, builder.and_(sign, ir.Constant(_INT32, 0x7FFFFFFF)))


def load(number: Any) -> Any:
    """In a compiled loop: a number of an array as float32."""
    raise NotImplementedError


def store(place: Any, value: Any) -> Any:
    """In a compiled loop: the float32 `value` as a number of the array that holds `place`."""
    raise NotImplementedError


# numba wants the types' function and the code's to have the same parameters, annotations included.
@overload(load, inline="always")
def _load(number):  # type: ignore[no-untyped-def]
    return (lambda number: _widened(number)) if number == types.uint16 else (lambda number: number)  # noqa: PLW0108


@overload(store, inline="always")
def _store(place, value):  # type: ignore[no-untyped-def]
    return (lambda place, value: _narrowed(value)) if place == types.uint16 else (lambda place, value: value)


@register_jitable(inline="always")  # type: ignore[untyped-decorator]
def exponential(x: Any) -> Any:
    """The exponential of `x`, to 2 parts in 10^7; at most 2^126 and at least 2^-126.

    2^(n + f) with f of at most a half: Taylor's polynomial of degree 6 gives 2^f.
    """
    scaled = min(max(x * np.float32(1.44269504), np.float32(-126.0)), np.float32(126.0))
    whole = nearest(scaled)
    f = scaled - whole
    p = np.float32(1.54035304e-4)
    p = p * f + np.float32(1.33335581e-3)
    p = p * f + np.float32(9.61812911e-3)
    p = p * f + np.float32(5.55041087e-2)
    p = p * f + np.float32(2.40226507e-1)
    p = p * f + np.float32(6.93147181e-1)
    p = p * f + np.float32(1.0)
    return p * _power_of_two(np.int32(whole))
