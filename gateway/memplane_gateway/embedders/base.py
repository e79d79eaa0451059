"""What an embedder promises."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from memplane_adapters.contract import EmbeddingIdentity, Vector


class Role(StrEnum):
    """What a text is; some models make another vector of a query than of what it is to find."""

    MEMORY = "memory"
    QUERY = "query"


class EmbedderReason(StrEnum):
    """Why an embedder gave no vectors."""

    UNAVAILABLE = "unavailable"
    """It does not answer, or is out of order."""
    EXHAUSTED = "exhausted"
    """It is asked too often."""
    PROTOCOL = "protocol"
    """It gave an answer that cannot be right."""
    MISCONFIGURED = "misconfigured"
    """The configuration is wrong, and waiting does not help: key, address, model."""
    REFUSED = "refused"
    """It does not take these texts, e.g. because one is too long; others may go."""
    DIMENSION = "dimension"
    """Its vectors have another dimension than the configuration says."""


_NONE_MADE: Final[Mapping[str, Vector | None]] = MappingProxyType({})


class EmbedderError(Exception):
    """An embedder failed. The message holds no secret and no word of the provider's."""

    def __init__(
        self,
        message: str,
        *,
        reason: EmbedderReason,
        retryable: bool = False,
        retry_after: float | None = None,
        refused: Collection[str] = (),
        made: Mapping[str, Vector | None] = _NONE_MADE,
    ) -> None:
        """`retry_after` is in seconds; None where the provider names no time.

        `refused` are the texts that were, where it is known which; `made` then has the vectors of
        all others of the call.
        """
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after
        self.refused = frozenset(refused)
        self.made = made

    def again(self, *, retry_after: float | None = None) -> EmbedderError:
        """The same failure for one more caller, perhaps with other seconds to wait.

        Without its texts, which may be those of others.
        """
        return EmbedderError(
            self.message,
            reason=self.reason,
            retryable=self.retryable,
            retry_after=self.retry_after if retry_after is None else retry_after,
        )


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

    @property
    def tells_roles(self) -> bool:
        """Whether a query's vector may differ from that of a memory with the same text."""
        ...

    async def open(self) -> None:
        """Begin what takes long, such as loading a model, and do not wait for it. Idempotent."""
        ...

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        """One vector of length 1 for each text, or None where there is nothing to make it of.

        Raises EmbedderError, and nothing else but CancelledError. One with `refused` has the
        vectors of the other texts.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Idempotent; a later `embed` makes new ones."""
        ...


class Around:
    """An embedder around another one; on its own it adds nothing."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner

    @property
    def identity(self) -> EmbeddingIdentity:
        return self._inner.identity

    @property
    def knows_meaning(self) -> bool:
        return self._inner.knows_meaning

    @property
    def accepts_text(self) -> bool:
        return self._inner.accepts_text

    @property
    def notice(self) -> str:
        return self._inner.notice

    @property
    def tells_roles(self) -> bool:
        return self._inner.tells_roles

    async def open(self) -> None:
        await self._inner.open()

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        return await self._inner.embed(texts, role)

    async def close(self) -> None:
        await self._inner.close()


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
