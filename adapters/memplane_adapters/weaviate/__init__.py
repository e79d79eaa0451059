"""Weaviate: a server over gRPC, with its schema over REST."""

from __future__ import annotations

from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.weaviate.settings import WeaviateSettings, from_url

__all__ = ["ADAPTER", "WeaviateSettings"]


def connect(settings: WeaviateSettings, data_dir: Path) -> Backend:  # noqa: ARG001 (a server keeps it)
    """The vector promise. What is used of the client library is loaded here."""
    from memplane_adapters.weaviate.store import WeaviateVectorStore

    return Backend(vector=WeaviateVectorStore(settings))


async def server(settings: WeaviateSettings, data_dir: Path) -> str:  # noqa: ARG001 (as above)
    """What answers, and its version."""
    from memplane_adapters.weaviate.version import server_version

    return await server_version(settings)


async def remove(settings: WeaviateSettings, data_dir: Path) -> None:  # noqa: ARG001 (as above)
    """The collections of the prefix."""
    from memplane_adapters.weaviate.removing import remove_all

    await remove_all(settings)


ADAPTER = Adapter(
    name="weaviate",
    settings=WeaviateSettings,
    connect=connect,
    from_url=from_url,
    place=("url", "grpc_host", "grpc_port", "prefix"),
    prefix="prefix",
    remove=remove,
    server=server,
    needs=("weaviate",),
    local=(
        LocalStore(
            name="weaviate",
            url="http://{host}:{ports[0]}?grpc_port={ports[1]}",
            program="weaviate-server",
            arguments=(
                *("--scheme", "http"),
                *("--host", "{host}", "--port", "{ports[0]}"),
            ),
            environ={
                "PERSISTENCE_DATA_PATH": "{directory}",
                "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
                "DEFAULT_VECTORIZER_MODULE": "none",
                "DISABLE_TELEMETRY": "true",
                "GO_PROFILING_DISABLE": "true",  # it would listen on a fixed port
                "GRPC_PORT": "{ports[1]}",
                # A cluster of one, which is its own leader within a second or two and not in eight.
                "CLUSTER_HOSTNAME": "node1",
                "CLUSTER_ADVERTISE_ADDR": "{host}",
                "CLUSTER_BIND_ADDR": "{host}",
                "CLUSTER_GOSSIP_BIND_PORT": "{ports[2]}",
                "CLUSTER_DATA_BIND_PORT": "{ports[3]}",
                "RAFT_BOOTSTRAP_EXPECT": "1",
                "RAFT_TIMEOUTS_MULTIPLIER": "1",
                "RAFT_PORT": "{ports[4]}",
                "RAFT_INTERNAL_RPC_PORT": "{ports[5]}",
            },
            ports=6,
            ready=("http://{host}:{ports[0]}/v1/.well-known/ready", "tcp://{host}:{ports[1]}"),
            variable="WEAVIATE_URL",
            image="cr.weaviate.io/semitechnologies/weaviate:1.39.0",
            image_ports=(8080, 50051, 7946, 7947, 8300, 8301),
            image_directory="/var/lib/weaviate",
            image_environ={
                "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
                "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
                "DISABLE_TELEMETRY": "true",
                "CLUSTER_HOSTNAME": "node1",  # otherwise the container's, another one each time
            },
        ),
    ),
)
