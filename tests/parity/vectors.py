"""Vectors by name, so that a failure shows a word and not 64 numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memplane import IndexedText
from memplane_adapters.conformance.memories.helpers import axis, unit_vectors

DIMENSION = 64
_SHAKE = 1e-7
"""Less than relevance is rounded to, so that two vectors tie."""


def _made() -> Mapping[str, list[float]]:
    made: dict[str, list[float]] = {
        "north": axis(DIMENSION, 1.0),
        "north, twice as long": axis(DIMENSION, 2.0),
        "nearly north": axis(DIMENSION, 1.0, 1e-3),
        "north to the last bit": axis(DIMENSION, 1.0, _SHAKE),
        "south": axis(DIMENSION, -1.0),
        "east": axis(DIMENSION, 0.0, 1.0),
        "north-east": axis(DIMENSION, 1.0, 1.0),
        "huge": axis(DIMENSION, 1e18, 1e17, -1e18),
        "tiny": axis(DIMENSION, 0.0, 1e-18, 1e-19),
    }
    for number, each in enumerate(unit_vectors(8, DIMENSION, seed=7)):
        made[f"anywhere {number}"] = [float(share) for share in each]
    return made


GOOD = _made()
BAD: Mapping[str, list[float]] = {"zero": axis(DIMENSION), "short": [1.0, 0.0]}


def texts(named: Iterable[tuple[str, str]]) -> list[IndexedText]:
    """Further texts; what stands behind "@" is the name of a vector."""
    return [
        IndexedText(path, vector=vector(text[1:])) if text[:1] == "@" else IndexedText(path, text)
        for path, text in named
    ]


def vector(name: str) -> list[float] | None:
    """The vector of that name; None for the empty one."""
    return {**GOOD, **BAD}[name] if name else None
