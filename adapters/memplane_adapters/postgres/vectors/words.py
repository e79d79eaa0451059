"""Terms as numbers, by which an index finds the rows that hold them; pure functions.

The tenant is in the number: the rows of an index entry are one tenant's, and who reads the numbers
learns nothing. In 64 bits two terms of a tenant meet once in some billions of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from memplane_adapters.postgres.vectors import arrays

_BYTES: Final = 8
_MOST: Final = 2**15 - 1
"""A term that comes more often than so in a text counts as if it came so often."""


def owner(tenant: str) -> int:
    """The tenant as a number."""
    return _number(_start(tenant))


def numbered(tenant: str, terms: Iterable[str]) -> list[int]:
    """The numbers of a tenant's terms: the same in every process and for ever."""
    start = _start(tenant)
    found: list[int] = []
    for term in terms:
        digest = start.copy()
        digest.update(term.encode())
        found.append(_number(digest))
    return found


def of_row(tenant: str, terms: Sequence[str]) -> tuple[int, int, str, str]:
    """Owner, number of terms, the terms each once, and how often each comes."""
    counts = Counter(terms)
    times = (min(count, _MOST) for count in counts.values())
    return (
        owner(tenant),
        len(terms),
        arrays.numbers(numbered(tenant, counts)),
        arrays.numbers(times),
    )


def _start(tenant: str) -> hashlib.blake2b:
    # The length parts them, so that no two pairs of tenant and term are the same bytes.
    encoded = tenant.encode()
    return hashlib.blake2b(len(encoded).to_bytes(4, "big") + encoded, digest_size=_BYTES)


def _number(digest: hashlib.blake2b) -> int:
    return int.from_bytes(digest.digest(), "big", signed=True)
