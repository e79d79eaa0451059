"""Embedders: text to vectors, one file a provider."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from memplane_gateway.embedders.base import Embedder, EmbedderError, EmbedderReason
from memplane_gateway.embedders.hash import HashEmbedder, HashSettings
from memplane_gateway.embedders.none import NoneEmbedder, NoneSettings
from memplane_gateway.embedders.openai import OpenAIEmbedder, OpenAISettings

EmbedderSettings: TypeAlias = Annotated[
    NoneSettings | HashSettings | OpenAISettings, Field(discriminator="provider")
]


def create(settings: NoneSettings | HashSettings | OpenAISettings) -> Embedder:
    """The embedder that the settings describe. Does no I/O."""
    match settings:
        case NoneSettings():
            return NoneEmbedder(settings)
        case HashSettings():
            return HashEmbedder(settings)
        case OpenAISettings():
            return OpenAIEmbedder(settings)


__all__ = [
    "Embedder",
    "EmbedderError",
    "EmbedderReason",
    "EmbedderSettings",
    "HashSettings",
    "NoneSettings",
    "OpenAISettings",
    "create",
]
