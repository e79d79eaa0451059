"""Split what is too much for one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(
    items: Iterable[T], *, items_at_most: int, bytes_at_most: int, size: Callable[[T], int]
) -> Iterator[list[T]]:
    """The items in order, in parts of at most so many and about so many bytes; one at least each."""
    part: list[T] = []
    filled = 0
    for item in items:
        weight = size(item)
        if part and (len(part) >= items_at_most or filled + weight > bytes_at_most):
            yield part
            part, filled = [], 0
        part.append(item)
        filled += weight
    if part:
        yield part
