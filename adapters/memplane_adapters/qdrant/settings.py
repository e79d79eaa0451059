"""What can be set about a Qdrant store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

IN_MEMORY: Final = ":memory:"

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NUMBERS: Final = frozenset({"grpc_port", "timeout"})


@dataclass(frozen=True, slots=True)
class QdrantSettings:
    """A server by its URL, or with `path` the engine inside the client library."""

    url: str = "http://localhost:6333"
    """The address of the server's REST port; with https gRPC is encrypted too."""
    api_key: str = field(default="", repr=False)
    path: str = ""
    """A directory, or ":memory:", instead of a server; one process may use a directory at a time."""
    transport: Literal["grpc", "rest"] = "grpc"
    grpc_port: int = 6334
    prefix: str = "memplane"
    """What the names of collections begin with: letters, digits, "-" and "_"."""
    timeout: int = 10
    """Seconds to wait for an answer, 1 or more."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError('url should be like "http://localhost:6333"')
        if address.username is not None or address.password is not None:
            raise ValueError("url should hold no credentials; use api_key")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError('prefix should be 1 to 64 letters, digits, "-" or "_"')
        if not 0 < self.grpc_port < 65536:
            raise ValueError("grpc_port should be 1 to 65535")
        if self.timeout < 1:
            raise ValueError("timeout should be at least 1")

    @property
    def in_process(self) -> bool:
        """Whether there is no server."""
        return bool(self.path)

    @property
    def in_memory(self) -> bool:
        """Whether everything is gone with the process."""
        return self.path == IN_MEMORY

    def location(self, data_dir: Path) -> str:
        """Where the engine in the process keeps its data."""
        return self.path if self.in_memory else str(data_dir / Path(self.path).expanduser())


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "http://host:6333?grpc_port=6334", "host:6333", ":memory:" or a directory."""
    is_path = url.startswith(("/", ".", "~", "file:")) and not url.startswith("//")
    if url == IN_MEMORY or is_path:
        return {"path": url.removeprefix("file://").removeprefix("file:")}
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"http://{url.removeprefix('//')}")
    keys: dict[str, object] = {
        name: int(value) if name in _NUMBERS and value.isdecimal() else value
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    return {"url": urlunsplit(parts._replace(query="")), **keys}
