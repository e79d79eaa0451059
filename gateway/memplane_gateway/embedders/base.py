"""What an embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract import EmbeddingIdentity, Vector


class EmbedderReason(StrEnum):
    """Why an embedder gave no vectors."""

    UNAVAILABLE = "unavailable"
    """It does not answer, is overloaded, or answers nonsense."""
    MISCONFIGURED = "misconfigured"
    """The configuration is wrong, and waiting does not help: key, address, model."""
    REFUSED = "refused"
    """It does not take these texts, e.g. because one is too long; others may go."""
    DIMENSION = "dimension"
    """Its vectors have another dimension than the configuration says."""


class EmbedderError(Exception):
    """An embedder failed. The message holds no secret and no word of the provider's."""

    def __init__(
        self,
        message: str,
        *,
        reason: EmbedderReason,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """`retry_after` is in seconds; None where the provider names no time."""
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def identity(self) -> EmbeddingIdentity:
        """What the vectors are, as stores record it."""
        ...

    @property
    def knows_meaning(self) -> bool:
        """Whether texts that mean the same in other words come to lie close."""
        ...

    @property
    def accepts_text(self) -> bool:
        """Whether `embed` works; if not, clients send vectors."""
        ...

    @property
    def notice(self) -> str:
        """A sentence for users, at start and with the first search; empty if there is none."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """One vector of length 1 for each text, or None where there is nothing to make it of.

        Raises EmbedderError, and nothing else but CancelledError.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Idempotent; a later `embed` makes new ones."""
        ...


def unit_vectors(rows: npt.NDArray[np.float64]) -> list[Vector | None]:
    """The rows brought to length 1; None for a row of zeros."""
    # Dividing by the largest number first keeps the squares in range.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    zero = largest[:, 0] == 0.0
    largest[zero] = 1.0
    rows = rows / largest
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    lengths[zero] = 1.0
    made = (rows / lengths).astype(np.float32)
    return [None if empty else row for row, empty in zip(made, zero, strict=True)]
