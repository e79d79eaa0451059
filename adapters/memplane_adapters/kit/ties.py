"""Cut a store's hits at a limit in the contract's order, though the store knows only its scores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from memplane_adapters.contract import RELEVANCE_DIGITS, RankKey

HitT = TypeVar("HitT")

MOST_ROWS: Final = 10_000
"""More hits than these are not asked for; where more of them tie, the store's own order decides."""

_SLACK: Final = 2
"""Ties at the limit are rare, and each row more is read by the store: one shows that there is none."""
_GROWTH: Final = 4


async def cut_ties(
    limit: int,
    ask: Callable[[int], Awaitable[Sequence[HitT]]],
    relevance: Callable[[HitT], float],
    rank: Callable[[HitT], RankKey],
    *,
    error: float = 0.0,
) -> list[HitT]:
    """The best `limit` hits by `rank`, best first.

    `ask` returns so many hits of the best scores, fewer only when there are no more. Hits that share
    the rounded relevance of the last place are all looked at, so that time and place decide. What is not
    returned may be better by `error` than the worst that is.
    """
    number = min(limit + _SLACK, max(limit, MOST_ROWS))
    while True:
        hits = sorted(await ask(number), key=rank)
        if len(hits) < number or number >= MOST_ROWS or len(hits) <= limit:
            return hits[:limit]
        if _rounded(relevance(hits[limit - 1])) > _rounded(min(map(relevance, hits)) + error):
            return hits[:limit]
        number = min(number * _GROWTH, MOST_ROWS)


def _rounded(relevance: float) -> float:
    return round(relevance, RELEVANCE_DIGITS)
