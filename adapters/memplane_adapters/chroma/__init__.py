"""Chroma: a server over HTTP."""

from __future__ import annotations

from pathlib import Path

from memplane_adapters.chroma.settings import ChromaSettings, from_url
from memplane_adapters.contract import Adapter, Backend, ForeignCollection, LocalStore

__all__ = ["ADAPTER", "ChromaSettings"]


def connect(settings: ChromaSettings, data_dir: Path) -> Backend:  # noqa: ARG001 (a server keeps it)
    """The vector promise. The client library is loaded here, which takes seconds."""
    from memplane_adapters.chroma.store import ChromaVectorStore

    return Backend(vector=ChromaVectorStore(settings))


def foreign(
    settings: ChromaSettings,
    data_dir: Path,  # noqa: ARG001 (a server keeps it)
    name: str,
    vector: str,
) -> ForeignCollection:
    """A collection that others made."""
    from memplane_adapters.chroma.foreign import ForeignChroma

    return ForeignChroma(settings, name, vector)


async def server(settings: ChromaSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers, and its version."""
    from memplane_adapters.chroma.version import server_version

    return await server_version(settings)


async def remove(settings: ChromaSettings, data_dir: Path) -> None:  # noqa: ARG001 (as above)
    """The collections of the prefix."""
    from memplane_adapters.chroma.removing import remove_all

    await remove_all(settings)


ADAPTER = Adapter(
    name="chroma",
    settings=ChromaSettings,
    connect=connect,
    from_url=from_url,
    foreign=foreign,
    place=("url", "tenant", "database", "prefix"),
    prefix="prefix",
    remove=remove,
    server=server,
    needs=("chromadb",),
    local=(
        LocalStore(
            name="chroma",
            url="http://{host}:{ports[0]}",
            program="chroma",
            arguments=(
                *("run", "--path", "{directory}"),
                *("--host", "{host}", "--port", "{ports[0]}"),
            ),
            ready=("http://{host}:{ports[0]}/api/v2/heartbeat",),
            variable="CHROMA_URL",
            image="docker.io/chromadb/chroma:1.5.9",
            image_ports=(8000,),
            image_directory="/data",
        ),
    ),
)
