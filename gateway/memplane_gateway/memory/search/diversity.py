"""Maximal marginal relevance: an order in which each hit says something new.

After Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking" (SIGIR 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract import RELEVANCE_DIGITS, Vector, cosine_relevance


def diversified(
    relevances: Sequence[float], vectors: Sequence[Vector | None], diversity: float
) -> list[int]:
    """The positions of hits in their new order, the first as it was.

    Next comes the one with the highest (1 - diversity) * relevance - diversity * likeness, likeness
    being (1 + cosine) / 2 to the nearest hit before it, 0 where one of the two has no vector. Of
    equals, rounded as in ranking, the one that came first.
    """
    count = len(relevances)
    if not count:
        return []
    gains = (1.0 - diversity) * np.asarray(relevances, np.float64)
    matrix, known = _matrix(vectors)
    likeness = np.zeros(count)
    left = np.ones(count, bool)
    order: list[int] = []
    chosen = 0
    while True:
        order.append(chosen)
        left[chosen] = False
        if len(order) == count:
            return order
        if known[chosen]:
            near = np.where(known, cosine_relevance(matrix @ matrix[chosen]), 0.0)
            np.maximum(likeness, near, out=likeness)
        values = np.round(gains - diversity * likeness, RELEVANCE_DIGITS)
        chosen = int(np.argmax(np.where(left, values, -np.inf)))


def _matrix(
    vectors: Sequence[Vector | None],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The vectors as rows, zeros where there is none, and which there are."""
    known = np.array([vector is not None for vector in vectors])
    size = max((vector.size for vector in vectors if vector is not None), default=0)
    matrix = np.zeros((len(vectors), size))
    for number, vector in enumerate(vectors):
        if vector is not None:
            matrix[number] = vector
    return matrix, known
