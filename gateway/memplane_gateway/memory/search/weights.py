"""Recency and importance: how much they take from the relevance of a match.

Each factor is at most 1, so that no memory rises above what it matches: whatever lies below a match in
a store's list stays below that match's own relevance. That is how a search knows when it has looked
at enough. See docs/search.md.
"""

from __future__ import annotations

import math

from memplane_gateway.memory.questions import Weights

UNSAID_IMPORTANCE = 0.5
"""What counts where a memory does not say its importance."""


def recency(time: int, now: int, half_life: int) -> float:
    """0.5 to the power of age / half-life, 1 for what lies ahead. All in microseconds."""
    return math.exp2(-max(0, now - time) / half_life)


def importance(said: float | None) -> float:
    """As said, else a half."""
    return UNSAID_IMPORTANCE if said is None else said


def weighted(match: float, recent: float, important: float, weights: Weights) -> float:
    """The relevance of a match, 0 to 1 and never above it; grows with each of the three."""
    return (
        match
        * (1.0 - weights.recency * (1.0 - recent))
        * (1.0 - weights.importance * (1.0 - important))
    )
