"""Texts to vectors on a route, whether or not the route has an embedder that takes text."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders import Embedder, EmbedderError, EmbedderReason, Role
from memplane_gateway.errors import Code, MemplaneError, Reason

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What became of texts."""

    vectors: Mapping[str, Vector | None]
    """By their texts; None for a text that has none."""
    refused: frozenset[str] = frozenset()
    """Those that the embedder does not take."""


class TextVectors:
    """The embedder of a route, seen from the middle. `embedder` None: the route has no vectors."""

    def __init__(self, route: str, embedder: Embedder | None) -> None:
        self._route = route
        self._embedder = embedder

    @property
    def identity(self) -> EmbeddingIdentity | None:
        """What makes this route's vectors; None where there are none."""
        return self._embedder.identity if self._embedder else None

    @property
    def client_identity(self) -> EmbeddingIdentity | None:
        """What a vector is said to come from that a client sent: its word, in our dimension."""
        return replace(self.identity, provider="client") if self.identity else None

    @property
    def takes_text(self) -> bool:
        """Whether texts become vectors here."""
        return self._embedder is not None and self._embedder.accepts_text

    @property
    def knows_meaning(self) -> bool:
        """Whether near vectors mean near texts."""
        return self._embedder is not None and self._embedder.knows_meaning

    @property
    def notice(self) -> str:
        """What a caller should know about the vectors; empty for nothing."""
        return self._embedder.notice if self._embedder else ""

    async def of(
        self, texts: Collection[str], role: Role = Role.MEMORY
    ) -> Mapping[str, Vector | None]:
        """The vector of each text; None for a text that has none. Empty where texts are not taken.

        Raises INVALID_ARGUMENT where the embedder does not take one of them, and UNAVAILABLE,
        FAILED_PRECONDITION or RESOURCE_EXHAUSTED as it fails.
        """
        try:
            return await self._embed(texts, role)
        except EmbedderError as error:
            raise self._failed(error) from error

    async def of_those_taken(self, texts: Collection[str]) -> Embedded:
        """As `of`, for memories; the texts that are refused are told, and do not fail the others."""
        try:
            return Embedded(await self._embed(texts, Role.MEMORY))
        except EmbedderError as error:
            if not error.refused:
                raise self._failed(error) from error
            return Embedded(error.made, error.refused)

    async def _embed(self, texts: Collection[str], role: Role) -> Mapping[str, Vector | None]:
        if self._embedder is None or not self._embedder.accepts_text or not texts:
            return {}
        ordered = sorted(texts)
        try:
            vectors = await self._embedder.embed(ordered, role)
        except EmbedderError as error:
            _log.warning(
                "embedder failed",
                extra={
                    "route": self._route,
                    "embedder": str(self._embedder.identity),
                    "reason": error.reason.value,
                    "refused": len(error.refused),
                    "error": error.message,
                },
            )
            raise
        return dict(zip(ordered, vectors, strict=True))

    def _failed(self, error: EmbedderError) -> MemplaneError:
        metadata = {"route": self._route}
        match error.reason:
            case EmbedderReason.MISCONFIGURED:
                return MemplaneError(
                    Code.FAILED_PRECONDITION,
                    Reason.BACKEND_MISCONFIGURED,
                    f"{self._route}: the embedder refuses the gateway; its operator must act",
                    metadata=metadata,
                )
            case EmbedderReason.DIMENSION:
                return MemplaneError(
                    Code.FAILED_PRECONDITION,
                    Reason.IDENTITY_MISMATCH,
                    f"{self._route}: {error.message}",
                    metadata=metadata,
                )
            case EmbedderReason.REFUSED:
                return MemplaneError(
                    Code.INVALID_ARGUMENT,
                    Reason.INVALID_REQUEST,
                    f"{self._route}: the embedder does not take this text; shorten it",
                    metadata=metadata,
                )
            case EmbedderReason.PROTOCOL:
                return MemplaneError(
                    Code.UNAVAILABLE,
                    Reason.BACKEND_PROTOCOL,
                    f"{self._route}: the embedder gave an answer that cannot be right; the gateway's "
                    "log says which",
                    metadata=metadata,
                )
            case EmbedderReason.EXHAUSTED:
                return MemplaneError(
                    Code.RESOURCE_EXHAUSTED,
                    Reason.EMBEDDER_UNAVAILABLE,
                    f"{self._route}: the embedder is asked too often; try again later",
                    metadata=metadata,
                    retry_after=error.retry_after,
                )
            case EmbedderReason.UNAVAILABLE:
                return MemplaneError(
                    Code.UNAVAILABLE,
                    Reason.EMBEDDER_UNAVAILABLE,
                    f"{self._route}: the embedder failed or cannot be reached; the gateway's log has why",
                    metadata=metadata,
                    retry_after=error.retry_after,
                )
