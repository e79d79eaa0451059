"""Pinecone: a service over HTTP. Tests run on an emulator of our own (`emulator`)."""

from __future__ import annotations

import sys
from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.pinecone.settings import PineconeSettings, from_url

__all__ = ["ADAPTER", "PineconeSettings"]


def connect(settings: PineconeSettings, data_dir: Path) -> Backend:  # noqa: ARG001 (a service keeps it)
    """The vector promise. The client library is loaded here, which takes a while."""
    from memplane_adapters.pinecone.store import PineconeVectorStore

    return Backend(vector=PineconeVectorStore(settings))


async def server(settings: PineconeSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers; a service has no version but that of its API."""
    from memplane_adapters.pinecone.upkeep import server_name

    return await server_name(settings)


async def remove(settings: PineconeSettings, data_dir: Path) -> None:  # noqa: ARG001 (as above)
    """The indexes of the prefix."""
    from memplane_adapters.pinecone.upkeep import remove_all

    await remove_all(settings)


ADAPTER = Adapter(
    name="pinecone",
    settings=PineconeSettings,
    connect=connect,
    from_url=from_url,
    place=("url", "prefix"),
    prefix="prefix",
    remove=remove,
    server=server,
    start=("api_key", "cloud", "region"),
    needs=("pinecone",),
    local=(
        LocalStore(
            name="pinecone",
            url="http://{host}:{ports[0]}?api_key=emulator",
            program=sys.executable,
            arguments=(
                *("-m", "memplane_adapters.pinecone.emulator", "--directory", "{directory}"),
                *("--host", "{host}", "--port", "{ports[0]}"),
            ),
            emulator=True,
            ready=("http://{host}:{ports[0]}/emulator",),
        ),
    ),
)
