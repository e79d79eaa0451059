"""Made memories to measure with: seeded, so that every run has the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memplane import AsyncClient, Kind, Put, Ref

LABEL: Final = "bench"
DIMENSION: Final = 384
VALUES: Final = 1_000
"""PROCEDURAL memories."""
SETTINGS: Final = {
    "embedders": {"bench": {"provider": "none", "dimension": DIMENSION}},
    "routes": {
        "semantic": {"embedder": "bench"},
        "episodic": {"embedder": "bench"},
    },
    "log": {"level": "warning"},
}
"""The embedded store; clients send the vectors."""

_SEED: Final = 7
_BATCH: Final = 500
_WORDS: Final = 5_000
_TEXT_WORDS: Final = 20
_QUESTION_WORDS: Final = 4
_NAMESPACES: Final = 100


@dataclass(frozen=True, slots=True)
class Workload:
    """SEMANTIC memories of some users, each a text of 20 words with a vector, and questions."""

    texts: Sequence[str]
    vectors: npt.NDArray[np.float32]

    def ref(self, number: int) -> Ref:
        """Which memory has that number, counted round."""
        number %= len(self.texts)
        return Ref(Kind.SEMANTIC, (LABEL, f"user-{number % _NAMESPACES}"), f"fact-{number}")

    def value_ref(self, number: int) -> Ref:
        """As `ref`, of the PROCEDURAL ones."""
        number %= VALUES
        return Ref(Kind.PROCEDURAL, (LABEL, f"user-{number % _NAMESPACES}"), f"setting-{number}")

    def puts(self) -> list[Put]:
        """The SEMANTIC memories."""
        return [
            Put(
                self.ref(number),
                text=text,
                attributes={"topic": f"topic-{number % 20}", "number": number},
                vector=vector,
            )
            for number, (text, vector) in enumerate(zip(self.texts, self.vectors, strict=True))
        ]

    def value_put(self, number: int, generation: int = 0) -> Put:
        """A PROCEDURAL memory; another generation has another value."""
        return Put(
            self.value_ref(number),
            value={"style": "short", "language": "en", "generation": generation},
        )

    def question(self, number: int) -> str:
        """Four words of a text that is there."""
        words = self.texts[number * 7919 % len(self.texts)].split()
        return " ".join(words[:: _TEXT_WORDS // _QUESTION_WORDS])

    def query_vector(self, number: int) -> npt.NDArray[np.float32]:
        """A vector near one that is there."""
        first, second = number * 7919 % len(self.texts), number * 104_729 % len(self.texts)
        near: npt.NDArray[np.float32] = self.vectors[first] + 0.3 * self.vectors[second]
        return near.astype(np.float32)


def make(size: int) -> Workload:
    """So many memories. Words are as unequal as in real texts: few are in most of them."""
    chance = random.Random(_SEED)
    consonants, vowels = "bdfgklmnprstv", "aou"
    syllables = ["".join(pair) for pair in itertools.product(consonants, vowels)]
    words = ["".join(three) for three in itertools.product(syllables, repeat=3)]
    chance.shuffle(words)
    words = words[:_WORDS]
    weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(_WORDS)))
    texts = [
        " ".join(chance.choices(words, cum_weights=weights, k=_TEXT_WORDS)) for _ in range(size)
    ]
    vectors = np.random.default_rng(_SEED).standard_normal((size, DIMENSION), dtype=np.float32)
    return Workload(texts, vectors)


async def write(client: AsyncClient, workload: Workload) -> None:
    """Writes all memories of a workload."""
    puts = [*workload.puts(), *(workload.value_put(number) for number in range(VALUES))]
    for start in range(0, len(puts), _BATCH):
        (await client.put_many(puts[start : start + _BATCH])).raise_for_error()


async def write_to(address: str, workload: Workload) -> None:
    """As `write`, to the gateway at an address."""
    async with AsyncClient(address) as client:
        await write(client, workload)
