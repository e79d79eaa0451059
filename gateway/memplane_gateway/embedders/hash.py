"""Hashed words and character n-grams: deterministic, without a download, and without meaning."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.analysis import words
from memplane_gateway.analysis.stop_words import ENGLISH
from memplane_gateway.embedders.base import Role, unit_vectors

_VERSION: Final = f"{words.VERSION}/grams-1"
"""Its second half rises when the same words make other vectors."""
_GRAM: Final = 4
# Every n-gram counts, so a long word counts for more than a short one, as rare words should. Not as
# much as the word itself, lest the two cancel out in a word with one n-gram.
_GRAM_WEIGHT: Final = 0.75
_STOP_WORD_WEIGHT: Final = 0.1

_CHUNK: Final = 64
"""Texts whose sums are made at once, which bounds the memory that it takes."""
_ON_THE_LOOP: Final = 400
"""Characters that take about half a millisecond, even of words never seen before."""


class HashSettings(BaseModel):
    """Settings of the embedder `hash`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["hash"] = "hash"
    dimension: int = Field(
        default=512,
        ge=64,
        le=65_536,
        description="Numbers in a vector; with more, fewer words meet by chance.",
    )


class _Features(NamedTuple):
    """What a word adds to a vector: the weights at the indices."""

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


class HashEmbedder:
    """Adds up signed hashes of words and n-grams."""

    knows_meaning: Final = False
    accepts_text: Final = True
    tells_roles: Final = False
    notice: Final = (
        "The embedder 'hash' matches words, not meaning: 'What does she drink?' does not find 'She "
        "prefers tea'. One line under `embedders:` changes that, for example {provider: openai, "
        "base_url: 'http://localhost:11434/v1', model: all-minilm, dimension: 384}."
    )

    def __init__(self, settings: HashSettings) -> None:
        self.identity: Final = EmbeddingIdentity("hash", _VERSION, settings.dimension)

    async def open(self) -> None:
        """Nothing to begin."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:  # noqa: ARG002
        """None for a text without a word."""
        if sum(map(len, texts)) <= _ON_THE_LOOP:
            return _embed(texts, self.identity.dimension)
        return await asyncio.to_thread(_embed, texts, self.identity.dimension)

    async def close(self) -> None:
        """Nothing to let go of."""


def _embed(texts: Sequence[str], dimension: int) -> list[Vector | None]:
    made: list[Vector | None] = []
    for start in range(0, len(texts), _CHUNK):
        made += unit_vectors(_sums(texts[start : start + _CHUNK], dimension))
    return made


def _sums(texts: Sequence[str], dimension: int) -> npt.NDArray[np.float64]:
    features: list[_Features] = []
    starts: list[int] = []
    factors: list[float] = []
    for row, text in enumerate(texts):
        for word, count in Counter(words.split(text, storing=False)).items():
            features.append(_features(word, dimension))
            starts.append(row * dimension)
            factors.append(1.0 + math.log(count))
    if not features:
        return np.zeros((len(texts), dimension))
    sizes = [len(feature.indices) for feature in features]
    indices = np.concatenate([feature.indices for feature in features])
    weights = np.concatenate([feature.weights for feature in features])
    sums = np.bincount(
        indices + np.repeat(starts, sizes),
        weights=weights * np.repeat(factors, sizes),
        minlength=len(texts) * dimension,
    )
    return sums.reshape(len(texts), dimension).astype(np.float64, copy=False)


@lru_cache(maxsize=32_768)
def _features(word: str, dimension: int) -> _Features:
    word = words.fold(word)
    whole = f"^{word}$"
    grams = [whole[start : start + _GRAM] for start in range(len(whole) - _GRAM + 1)]
    hashes = [_hash(f"word {word}"), *(_hash(f"gram {gram}") for gram in grams)]
    weight = _STOP_WORD_WEIGHT if word in ENGLISH else 1.0
    weights = [weight] + [weight * _GRAM_WEIGHT] * len(grams)
    signs = [1.0 if hashed & 1 else -1.0 for hashed in hashes]
    return _Features(
        np.array([(hashed >> 1) % dimension for hashed in hashes], dtype=np.int64),
        np.array(signs) * weights,
    )


def _hash(feature: str) -> int:
    return int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
