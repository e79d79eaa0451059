"""Queries: exact, over all records, in float32. The service's are approximate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from memplane_adapters.pinecone.emulator.state import Record


def nearest(
    vector: npt.NDArray[np.float32], records: Sequence[Record], number: int, metric: str
) -> Iterator[tuple[Record, float]]:
    """The nearest records and their scores, best first."""
    if not records:
        return
    rows = np.stack([record.values for record in records])
    if metric == "euclidean":
        scores = -((rows - vector) ** 2).sum(axis=1)
    else:
        scores = rows @ vector
        if metric == "cosine":
            scores = scores / (np.linalg.norm(rows, axis=1) * np.linalg.norm(vector))
    for place in np.argsort(-scores, kind="stable")[:number].tolist():
        yield (
            records[place],
            abs(float(scores[place])) if metric == "euclidean" else float(scores[place]),
        )
