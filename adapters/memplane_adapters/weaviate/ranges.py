"""Ranges over any attribute, without a property of its own; pure functions.

A number is written as sixteen hex digits that sort as numbers do, and a row holds a token for each
beginning of them. What is above a bound begins with one of at most 240 beginnings: those of the bound
itself, with a higher digit at the end. So one property with an index for equal values serves every
attribute that anybody will ever name, and no condition changes the schema.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from memplane_adapters.kit.expressions import Range

_DIGITS: Final = "0123456789abcdef"
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1


def sortable(number: float) -> str:
    """Sixteen hex digits that sort as numbers do; the two zeros are the same."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", number + 0.0))
    return f"{bits ^ (_ALL if bits & _SIGN else _SIGN):016x}"


def tokens(sort: str, name: str, number: float) -> Iterator[str]:
    """What a row holds that has a number at a path: sixteen tokens."""
    digits = sortable(number)
    return (_token(sort, name, digits[:end]) for end in range(1, len(digits) + 1))


def size_of(name: str) -> int:
    """About how many bytes the tokens of one number are; known before they are made."""
    return 16 * (len(name.encode()) + 20)


def wanted(condition: Range) -> list[str]:
    """The tokens of which a row within a range holds exactly one; none when no number is."""
    bound = sortable(condition.bound)
    above = condition.comparison in ("gt", "gte")
    found = [
        _token(condition.sort, condition.name, bound[:place] + digit)
        for place, own in enumerate(bound)
        for digit in _DIGITS
        if (digit > own if above else digit < own)
    ]
    if condition.comparison in ("gte", "lte"):
        found.append(_token(condition.sort, condition.name, bound))
    return found


def _token(sort: str, name: str, digits: str) -> str:
    # In a path's name no "#" stands alone.
    return f"{name}#{sort}:{digits}"
