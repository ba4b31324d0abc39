"""Functions that numba compiles; import this only where an index is built or searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = njit  # its types know no `_nrt`


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers at its first call; it runs without the GIL.

    What was compiled is kept on disk for the next process, where numba finds a folder that it can
    write to.
    """
    return _compiled(function)


def inner(function: F) -> F:
    """Compile a function that only compiled ones call, and that makes no array.

    Nothing counts references to its arrays, which would cost more than a short loop.
    """
    return _compiled(function, _nrt=False)


def summing(function: F) -> F:
    """Compile as `compiled` does; sums may be taken in any order, which lets them run in vectors.

    What is no number stays none.
    """
    return _compiled(function, fastmath={"reassoc", "contract"})


def _compiled(function: F, **options: Any) -> F:
    try:
        return cast(F, _njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # no such folder: each process compiles for itself
        return cast(F, _njit(nogil=True, **options)(function))


def _prefetch(context: Any, array: Any, place: Any) -> Any:
    """In compiled code, `prefetch(array, place)`: have an entry's cache line loaded early."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", (pointer,), ir.FunctionType(ir.VoidType(), (pointer, i32, i32, i32))
        )
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), pointer)
        builder.call(function, (address, i32(0), i32(3), i32(1)))  # read, keep, data
        return context.get_dummy_value()

    return types.void(array, place), generate


def _lowest_bit(context: Any, mask: Any) -> Any:
    """In compiled code, `lowest_bit(mask)`: the place of the lowest 1 of a number that has one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(True))

    return mask(mask), generate


prefetch: Any = intrinsic(_prefetch)
lowest_bit: Any = intrinsic(_lowest_bit)
