"""Reciprocal rank fusion: from a memory's ranks in two lists to one relevance.

Ranks and not scores, because a cosine and a BM25 sum cannot be compared. See docs/search.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from memplane_adapters.contract import RELEVANCE_DIGITS

RANK_OFFSET = 10
"""How slowly a rank loses weight: rank 1 counts 1, rank 12 a half."""

VECTOR_SHARE = 0.5
"""How much the list of VECTOR counts, the list of KEYWORD having the rest."""

MEANINGLESS_SHARE = 0.2
"""The same where the embedder knows no meaning: its vectors are a coarser list of the same words."""


def ranks(relevances: Sequence[float]) -> list[int]:
    """The rank of each in a list that comes best first: 1 and how many are better.

    Equal ones, rounded as in ranking, share a rank, so that what breaks ties does not count.
    """
    found: list[int] = []
    last: float | None = None
    rank = 0
    for number, relevance in enumerate(relevances, start=1):
        rounded = round(relevance, RELEVANCE_DIGITS)
        if rounded != last:
            rank, last = number, rounded
        found.append(rank)
    return found


def fused(vector_rank: int | None, keyword_rank: int | None, vector_share: float) -> float:
    """The mean of 11 / (10 + rank) over both lists, weighted, 0 to 1; what is not in a list has 0."""
    return vector_share * _reciprocal(vector_rank) + (1.0 - vector_share) * _reciprocal(
        keyword_rank
    )


def _reciprocal(rank: int | None) -> float:
    return 0.0 if rank is None else (RANK_OFFSET + 1) / (RANK_OFFSET + rank)
