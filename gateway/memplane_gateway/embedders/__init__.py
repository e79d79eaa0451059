"""Embedders: text to vectors, one file a provider, and what goes around those that cost something."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from memplane_gateway.embedders.base import Embedder, EmbedderError, EmbedderReason, Role
from memplane_gateway.embedders.batching import Batching, Limits
from memplane_gateway.embedders.cache import Caching
from memplane_gateway.embedders.fastembed import FastEmbedder, FastEmbedSettings
from memplane_gateway.embedders.hash import HashEmbedder, HashSettings
from memplane_gateway.embedders.none import NoneEmbedder, NoneSettings
from memplane_gateway.embedders.openai import OpenAIEmbedder, OpenAISettings

EmbedderSettings: TypeAlias = Annotated[
    NoneSettings | HashSettings | OpenAISettings | FastEmbedSettings,
    Field(discriminator="provider"),
]


def create(settings: EmbedderSettings) -> Embedder:
    """The embedder that the settings describe, and nothing around it. Does no I/O."""
    match settings:
        case NoneSettings():
            return NoneEmbedder(settings)
        case HashSettings():
            return HashEmbedder(settings)
        case OpenAISettings():
            return OpenAIEmbedder(settings)
        case FastEmbedSettings():
            return FastEmbedder(settings)


def serving(settings: EmbedderSettings) -> Embedder:
    """The same for many callers: with batches across their calls, and a cache. Does no I/O.

    `hash` takes microseconds, and `none` takes no texts.
    """
    embedder = create(settings)
    match settings:
        case OpenAISettings():
            limits = Limits(settings.max_batch, settings.max_batch_bytes, settings.max_parallel)
        case FastEmbedSettings():
            limits = Limits(settings.max_batch)
        case _:
            return embedder
    embedder = Batching(embedder, limits)
    return Caching(embedder, settings.cache_bytes) if settings.cache_bytes else embedder


__all__ = [
    "Embedder",
    "EmbedderError",
    "EmbedderReason",
    "EmbedderSettings",
    "FastEmbedSettings",
    "HashSettings",
    "NoneSettings",
    "OpenAISettings",
    "Role",
    "create",
    "serving",
]
