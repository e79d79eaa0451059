"""What can be set about a Weaviate store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_PREFIX: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_WHOLE_NUMBERS: Final = frozenset({"ef", "grpc_port"})
_NUMBERS: Final = frozenset({"timeout"})


@dataclass(frozen=True, slots=True)
class WeaviateSettings:
    """A server by its URL."""

    url: str = "http://localhost:8080"
    """The address of the server's REST port; with https gRPC is encrypted too."""
    grpc_host: str = ""
    """Where gRPC listens, if it is not the host of `url`."""
    grpc_port: int = 50051
    api_key: str = field(default="", repr=False)
    ca_file: str = ""
    """Certificates to trust instead of the usual ones, for https."""
    prefix: str = "memplane"
    """What the names of collections begin with: a small letter, then small letters, digits and "-"."""
    index: Literal["flat", "hnsw"] = "flat"
    """What collections are made with: "flat" looks at every vector of what is searched, "hnsw" at few.
    Those that are there stay as they were made."""
    ef: int = 512
    """How many candidates a search of an "hnsw" index keeps, 64 or more."""
    timeout: float = 30.0
    """Seconds to wait for an answer."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError('url should be like "http://localhost:8080"')
        if address.username is not None or address.password is not None:
            raise ValueError("url should hold no credentials; use api_key")
        if address.query or address.fragment:
            raise ValueError("url should end with its path")
        if not 0 < self.grpc_port < 65536:
            raise ValueError("grpc_port should be 1 to 65535")
        if not self.api_key.isascii() or not (self.api_key + "x").isprintable():
            raise ValueError("api_key should be printable ASCII")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                'prefix should be a small letter and up to 63 small letters, digits or "-"'
            )
        if self.ef < 64:
            raise ValueError("ef should be at least 64")
        if self.timeout <= 0:
            raise ValueError("timeout should be above 0")

    @property
    def secure(self) -> bool:
        """Whether both ways in are encrypted."""
        return self.url.startswith("https:")

    @property
    def grpc_target(self) -> str:
        """Where gRPC listens, as a channel takes it."""
        host = self.grpc_host or urlsplit(self.url).hostname or ""
        return f"[{host}]:{self.grpc_port}" if ":" in host else f"{host}:{self.grpc_port}"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "http://host:8080?grpc_port=50051", "https://host" or "host:8080"."""
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"http://{url.removeprefix('//')}")
    keys: dict[str, object] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _WHOLE_NUMBERS and value.isdecimal():
            keys[name] = int(value)
        elif name in _NUMBERS and value.replace(".", "", 1).isdecimal():
            keys[name] = float(value)
        else:
            keys[name] = value
    return {"url": urlunsplit(parts._replace(query="")).rstrip("/"), **keys}
