"""Search by words: BM25 as a sparse vector a row; pure functions.

A row's vector has the part of BM25 that its own words decide, at the index of each term:

    f * (k1 + 1) / (f + k1 * (1 - b + b * l / MEAN_TERMS))

for f occurrences among l terms. The server multiplies by how rare a term is (the modifier IDF of the
vector), Lucene's ln(1 + (N - n + 0.5) / (n + 0.5)). It takes N and n at the moment of a search, so that
no write has to touch other rows. A mean that is taken from the rows would have to, hence a number.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from qdrant_client import models

MEAN_TERMS: Final = 32.0
"""How many terms a memory is taken to have in the mean. Must stay: it is in what is stored."""

K1: Final = 1.2
B: Final = 0.75
"""As in SQLite's FTS5, the embedded store's."""

_INDEX_BYTES: Final = 4


def of_row(tenant: str, terms: Sequence[str]) -> models.SparseVector | None:
    """What finds a row by its terms; None where it has none."""
    if not terms:
        return None
    damped = K1 * (1.0 - B + B * len(terms) / MEAN_TERMS)
    counts = Counter(terms)
    weights = (count * (K1 + 1.0) / (count + damped) for count in counts.values())
    return _vector(zip(indexes(tenant, counts), weights, strict=True))


def of_question(tenant: str, terms: Iterable[str]) -> models.SparseVector:
    """What finds the rows that hold any of these terms; each counts once."""
    return _vector((index, 1.0) for index in indexes(tenant, dict.fromkeys(terms)))


def indexes(tenant: str, terms: Mapping[str, object] | Sequence[str]) -> list[int]:
    """Where terms of a tenant stand in a vector: 32 bits, the same in every process and for ever.

    With the tenant, since a server counts the rows of all tenants at an index: nobody's words are
    made common by another's. Two terms of a tenant at one index count as one.
    """
    # The length parts them, so that no two pairs of tenant and term are the same bytes.
    owner = tenant.encode()
    start = hashlib.blake2b(len(owner).to_bytes(4, "big") + owner, digest_size=_INDEX_BYTES)
    found: list[int] = []
    for term in terms:
        digest = start.copy()
        digest.update(term.encode())
        found.append(int.from_bytes(digest.digest(), "big"))
    return found


def _vector(weighted: Iterable[tuple[int, float]]) -> models.SparseVector:
    """Sorted, each index once: the weights of terms that share one are added."""
    weights: defaultdict[int, float] = defaultdict(float)
    for index, weight in weighted:
        weights[index] += weight
    ordered = sorted(weights)
    return models.SparseVector(indices=ordered, values=[weights[index] for index in ordered])
