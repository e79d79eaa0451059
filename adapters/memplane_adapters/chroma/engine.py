"""The connection of a store."""

from __future__ import annotations

import functools

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.client import Client, make_client
from memplane_adapters.chroma.settings import ChromaSettings
from memplane_adapters.kit import engine


class Engine(engine.Engine[Client]):
    """Calls of one client, which reads certificates when it is made."""

    def __init__(self, settings: ChromaSettings) -> None:
        super().__init__(functools.partial(make_client, settings), errors.from_exception)
