"""No embedder: clients send vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders.base import EmbedderError, EmbedderReason, Role


class NoneSettings(BaseModel):
    """Settings of the embedder `none`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["none"] = "none"
    dimension: int = Field(
        ge=1, le=65_536, description="Numbers in each vector that clients send.", examples=[1536]
    )


class NoneEmbedder:
    """Takes no text; vectors come with the memories and the queries."""

    knows_meaning: Final = True
    accepts_text: Final = False
    tells_roles: Final = False
    notice: Final = ""

    def __init__(self, settings: NoneSettings) -> None:
        self.identity: Final = EmbeddingIdentity("client", "", settings.dimension)

    async def open(self) -> None:
        """Nothing to begin."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:  # noqa: ARG002
        """Nothing for nothing; text is an error."""
        if not texts:
            return []
        raise EmbedderError(
            f"this route has no embedder (provider: none); send a vector of "
            f"{self.identity.dimension} numbers with the text",
            reason=EmbedderReason.MISCONFIGURED,
        )

    async def close(self) -> None:
        """Nothing to let go of."""
