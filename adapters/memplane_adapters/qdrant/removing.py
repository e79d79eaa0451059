"""Removing all that a prefix has on a server or in a directory."""

from __future__ import annotations

from pathlib import Path

from memplane_adapters.kit.collections import names_of_prefix
from memplane_adapters.qdrant.engine import ANY_VERSION, Engine, InProcess, Server
from memplane_adapters.qdrant.settings import IN_MEMORY, QdrantSettings


async def remove_all(settings: QdrantSettings, data_dir: Path) -> None:
    """Remove the collections of a prefix. Raises StoreError, also when a process has the directory."""
    location = settings.location(data_dir)
    if settings.in_process and not _is_kept(location):
        return
    engine: Engine
    if settings.in_process:
        engine = InProcess(location)
    else:
        engine = Server(settings, least_version=ANY_VERSION)
    await engine.open()
    try:
        answer = await engine.call("get_collections")
        for name in names_of_prefix(settings.prefix, (one.name for one in answer.collections)):
            # One that is gone meanwhile is answered with False.
            await engine.call("delete_collection", collection_name=name)
    finally:
        await engine.close()


def _is_kept(location: str) -> bool:
    """Whether an engine has a directory already; one in memory has none."""
    return location != IN_MEMORY and Path(location).exists()
