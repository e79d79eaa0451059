"""Vectors to and from packed little-endian float32, without numpy and with it."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from memplane._errors import InvalidArgument
from memplane._values import article

if TYPE_CHECKING:
    from collections.abc import Sequence


class SupportsBuffer(Protocol):
    """What memoryview() takes: `collections.abc.Buffer`, which Python 3.11 does not have yet."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class SupportsArray(Protocol):
    """A numpy array, as its types say it before Python 3.12."""

    def __array__(self) -> Any: ...


VectorLike: TypeAlias = "Sequence[float] | SupportsBuffer | SupportsArray"
"""A vector: a sequence of numbers, or anything with a buffer of float32 or float64 (a numpy array,
an `array.array`), or bytes that are packed little-endian float32 already."""

_RAW: Final = frozenset("BbcB?")


def to_bytes(given: VectorLike, field: str) -> bytes:
    """A vector as the contract packs it. Numbers are rounded to float32.

    Raises:
        InvalidArgument: It is no vector, is empty, has more than one dimension, or holds a number
            that is not finite as a float32.
    """
    numbers = _numbers(given, field)
    if not numbers:
        raise InvalidArgument.at(field, "is empty; a vector has at least one number")
    # A sum of float32 numbers cannot overflow a float, so it is finite when they all are.
    if not math.isfinite(sum(numbers)):
        raise InvalidArgument.at(field, "holds NaN, infinity or a number too large for float32")
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def from_bytes(packed: bytes) -> array[float] | None:
    """The vector of a reply, or None where there is none."""
    if not packed:
        return None
    numbers = array("f")
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _numbers(given: VectorLike, field: str) -> array[float]:
    if isinstance(given, str | Mapping | set | frozenset):
        raise InvalidArgument.at(field, f"is {article(type(given).__name__)}; give numbers")
    try:
        view = memoryview(cast("bytes", given))
    except TypeError:
        return _from_sequence(given, field)
    if view.ndim != 1:
        raise InvalidArgument.at(
            field, f"has {view.ndim} dimensions (shape {view.shape}); give one"
        )
    code = view.format.lstrip("@=<" if sys.byteorder == "little" else "@=>!")
    numbers = array("f")
    if code == "f" or (code in _RAW and isinstance(given, bytes | bytearray | memoryview)):
        packed = view.tobytes()
        if len(packed) % numbers.itemsize:
            raise InvalidArgument.at(field, f"is {len(packed)} bytes, which is no multiple of 4")
        numbers.frombytes(packed)
        if code != "f" and sys.byteorder == "big":
            numbers.byteswap()
        return numbers
    if code == "d":
        doubles = array("d")
        doubles.frombytes(view.tobytes())
        return array("f", doubles)
    return _from_sequence(given, field)


def _from_sequence(given: object, field: str) -> array[float]:
    if not isinstance(given, Iterable):
        raise InvalidArgument.at(field, f"is {article(type(given).__name__)}; give numbers")
    try:
        return array("f", given)
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise InvalidArgument.at(field, f"is no sequence of numbers ({error})") from None
