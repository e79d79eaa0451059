"""Where the gateway listens: "host:port", "[v6]:port" or "unix:PATH"."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on; either `path` (a Unix socket) or `host` and `port`."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name; who knows where it leads

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        ValueError: A sentence that says what is wrong with it.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        if not path:
            raise ValueError("no path after unix:")
        return Address(path=path)
    if "://" in text:
        raise ValueError(
            "an address to listen on has no scheme; write host:port, for example 127.0.0.1:50051"
        )
    host, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and (len(port) > 5 or int(port) > HIGHEST_PORT):
        raise ValueError(f"a port is a number from 0 to {HIGHEST_PORT}")
    if not colon or not port.isascii() or not port.isdigit():
        raise ValueError("expected host:port, [v6]:port or unix:PATH, for example 127.0.0.1:50051")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        _check_v6(host)
    elif ":" in host:
        raise ValueError(f"an IPv6 address stands in brackets: [{host}]:{port}")
    if not host:
        raise ValueError(
            f"no host; 127.0.0.1:{port} is this machine alone, 0.0.0.0:{port} every network"
        )
    return Address(host=host, port=int(port))


def _check_v6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("what stands in the brackets is no IPv6 address") from None
