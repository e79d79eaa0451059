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


ADAPTER = Adapter(
    name="pinecone",
    settings=PineconeSettings,
    connect=connect,
    from_url=from_url,
    place=("url", "prefix"),
    prefix="prefix",
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
