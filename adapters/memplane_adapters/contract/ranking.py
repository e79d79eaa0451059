"""How hits rank: the formulas that turn a store's score into relevance, and the one order of hits.

Relevance is 0 to 1, higher is better, and ranks after rounding to 1e-6, so that stores which differ
in the last bits of a float give the same order.
"""

from __future__ import annotations

from typing import TypeAlias

KEYWORD_HALF = 10.0
"""The BM25 sum that has relevance 0.5."""

RankKey: TypeAlias = tuple[float, int, tuple[str, ...], str]


def cosine_relevance(score: float) -> float:
    """(1 + cosine) / 2."""
    return (1.0 + score) / 2.0


def keyword_relevance(score: float) -> float:
    """B / (b + 10) of the BM25 sum b >= 0: grows with b, never reaches 1."""
    return score / (score + KEYWORD_HALF)


def rank_key(relevance: float, time: int, place: tuple[tuple[str, ...], str]) -> RankKey:
    """Sorts hits best first: relevance down, then newer time first, then place up."""
    return -round(relevance, 6), -time, *place
