"""Removing all that a schema holds."""

from __future__ import annotations

from memplane_adapters.postgres.engine import Engine
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.settings import PostgresSettings


async def remove_all(settings: PostgresSettings) -> None:
    """Remove the schema, if it is one of ours. Raises StoreError."""
    engine = Engine(settings)
    engine.open(remove_all)
    try:
        await engine.call(Layout(settings.schema).drop)
    finally:
        await engine.close(remove_all)
