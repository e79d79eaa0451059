"""Qdrant: a server over gRPC or REST, or the engine inside its client library."""

from __future__ import annotations

from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, ForeignCollection, LocalStore
from memplane_adapters.qdrant.settings import IN_MEMORY, QdrantSettings, from_url

__all__ = ["ADAPTER", "QdrantSettings"]


def connect(settings: QdrantSettings, data_dir: Path) -> Backend:
    """The vector promise. The client library is loaded here, which takes seconds."""
    from memplane_adapters.qdrant.store import QdrantVectorStore

    return Backend(vector=QdrantVectorStore(settings, data_dir))


def foreign(settings: QdrantSettings, data_dir: Path, name: str, vector: str) -> ForeignCollection:
    """A collection that others made."""
    from memplane_adapters.qdrant.foreign import ForeignQdrant

    return ForeignQdrant(settings, data_dir, name, vector)


async def server(settings: QdrantSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers, and its version."""
    from memplane_adapters.qdrant.version import server_version

    return await server_version(settings)


async def remove(settings: QdrantSettings, data_dir: Path) -> None:
    """The collections of the prefix."""
    from memplane_adapters.qdrant.removing import remove_all

    await remove_all(settings, data_dir)


ADAPTER = Adapter(
    name="qdrant",
    settings=QdrantSettings,
    connect=connect,
    from_url=from_url,
    foreign=foreign,
    place=("url", "path", "prefix"),
    prefix="prefix",
    path="path",
    remove=remove,
    server=server,
    needs=("qdrant_client",),
    local=(
        LocalStore(name="qdrant-memory", url=IN_MEMORY, kept=False),
        LocalStore(name="qdrant-local", url="{directory}/qdrant"),
        LocalStore(
            name="qdrant",
            url="http://{host}:{ports[0]}?grpc_port={ports[1]}",
            program="qdrant",
            environ={
                "QDRANT__SERVICE__HOST": "{host}",
                "QDRANT__SERVICE__HTTP_PORT": "{ports[0]}",
                "QDRANT__SERVICE__GRPC_PORT": "{ports[1]}",
                "QDRANT__STORAGE__STORAGE_PATH": "{directory}/storage",
                "QDRANT__STORAGE__SNAPSHOTS_PATH": "{directory}/snapshots",
                "QDRANT__TELEMETRY_DISABLED": "true",
            },
            ports=2,
            ready=("http://{host}:{ports[0]}/readyz", "tcp://{host}:{ports[1]}"),
            variable="QDRANT_URL",
            image="docker.io/qdrant/qdrant:v1.18.3",
            image_ports=(6333, 6334),
            image_directory="/qdrant/storage",
        ),
    ),
)
