"""Batches for stores that take them in parts, or do not tell what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from memplane_adapters.contract import WriteResult, WriteStatus

T = TypeVar("T")


def parts(items: Sequence[T], size: int) -> Iterable[list[T]]:
    """The items in lists of at most that length."""
    return (list(items[start : start + size]) for start in range(0, len(items), size))


def deleted(ids: Iterable[str], there: Iterable[str]) -> list[WriteResult]:
    """What became of deletes, by the ids that were there; the second of the same finds nothing."""
    left = set(there)
    results: list[WriteResult] = []
    for one in ids:
        results.append(WriteResult(WriteStatus.APPLIED if one in left else WriteStatus.MISSING))
        left.discard(one)
    return results
