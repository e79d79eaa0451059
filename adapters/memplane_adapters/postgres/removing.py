"""Removing all that we keep in a schema."""

from __future__ import annotations

from memplane_adapters.kit.collections import names_of_prefix
from memplane_adapters.postgres.engine import Engine
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.settings import PostgresSettings
from memplane_adapters.postgres.vectors.collections import PREFIX


async def remove_all(settings: PostgresSettings) -> None:
    """Remove our tables, and the schema if nothing else is in it. Raises StoreError."""
    layout = Layout(settings.schema)
    engine = Engine(settings)
    engine.open(remove_all)
    try:
        await engine.call(lambda session: layout.drop(session, _is_ours))
    finally:
        await engine.close(remove_all)


def _is_ours(table: str) -> bool:
    return table in ("layout", "entry") or bool(
        names_of_prefix(PREFIX, (table.removesuffix("-words"),))
    )
