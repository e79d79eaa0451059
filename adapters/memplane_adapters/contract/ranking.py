"""How hits rank: the formulas that turn a store's score into relevance, and the one order of hits.

Relevance is 0 to 1, higher is better, and ranks after rounding to 1e-6, so that stores which differ
in the last bits of a float give the same order.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

KEYWORD_HALF = 10.0
"""The BM25 sum that has relevance 0.5."""

RELEVANCE_DIGITS = 6
"""Relevances that agree to so many digits are equal."""

RankKey: TypeAlias = tuple[float, int, tuple[str, ...], str]


_Scores = TypeVar("_Scores", float, npt.NDArray[np.float64])


def cosine_relevance(score: _Scores) -> _Scores:
    """(1 + cosine) / 2."""
    return (1.0 + score) / 2.0


def keyword_relevance(score: _Scores) -> _Scores:
    """B / (b + 10) of the BM25 sum b >= 0: grows with b, never reaches 1."""
    return score / (score + KEYWORD_HALF)


def rank_key(relevance: float, time: int, place: tuple[tuple[str, ...], str]) -> RankKey:
    """Sorts hits best first: relevance down, then newer time first, then place up."""
    return -round(relevance, RELEVANCE_DIGITS), -time, *place
