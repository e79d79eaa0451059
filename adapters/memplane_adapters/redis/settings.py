"""What can be set about a Redis store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

DEFAULT_PORT: Final = 6379

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FLOATS: Final = frozenset({"connect_timeout", "timeout", "wait_fsync", "wait_timeout"})
_INTEGERS: Final = frozenset({"wait_replicas", "compress_above"})


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A server by its URL."""

    url: str = "redis://localhost:6379/0"
    """The address of the server and the number of the database; rediss:// is TLS."""
    username: str = ""
    """The name of an ACL user; empty is Redis' "default"."""
    password: str = field(default="", repr=False)
    prefix: str = "memplane"
    """What every key begins with: letters, digits, "-" and "_"."""
    ca_file: str = ""
    """Certificates to trust instead of the usual ones, for rediss://."""
    connect_timeout: float = 5.0
    """Seconds to wait for a connection."""
    timeout: float = 10.0
    """Seconds to wait for an answer."""
    wait_fsync: float = 0.0
    """Seconds within which the server has to have fsynced a write, which fails otherwise; replicas
    are counted then if they have fsynced it, too. 0 does not ask."""
    wait_replicas: int = 0
    """How many replicas a write waits for; its result says how many have it."""
    wait_timeout: float = 1.0
    """Seconds to wait for them."""
    compress_above: int = 4096
    """Records of more bytes are compressed."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("redis", "rediss") or not address.hostname:
            raise ValueError('url should be like "redis://localhost:6379/0"')
        if address.username is not None or address.password is not None:
            raise ValueError("url should hold no credentials; use username and password")
        if address.query or address.fragment:
            raise ValueError("url should end with the number of the database")
        if address.path.strip("/") and not address.path.strip("/").isdecimal():
            raise ValueError("url should end with the number of the database, as in /0")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError('prefix should be 1 to 64 letters, digits, "-" or "_"')
        if self.ca_file and not self.tls:
            raise ValueError("ca_file is for a url that begins with rediss://")
        if self.username and not self.password:
            raise ValueError("a username should come with a password")
        if self.connect_timeout <= 0 or self.timeout <= 0:
            raise ValueError("timeouts should be above 0")
        if self.wait_replicas < 0 or self.compress_above < 0:
            raise ValueError("wait_replicas and compress_above should not be below 0")
        if not 0.001 <= self.wait_timeout < self.timeout:
            raise ValueError("wait_timeout should be a millisecond or more, and below timeout")
        if self.wait_fsync and not 0.001 <= self.wait_fsync < self.timeout - self.wait_timeout:
            raise ValueError(
                "wait_fsync should be 0, or a millisecond or more; with wait_timeout below timeout"
            )

    @property
    def tls(self) -> bool:
        return urlsplit(self.url).scheme == "rediss"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or DEFAULT_PORT

    @property
    def database(self) -> int:
        return int(urlsplit(self.url).path.strip("/") or 0)


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "redis://user:password@host:6379/0?prefix=a", "rediss://host" or "host:6379"."""
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"redis://{url.removeprefix('//')}")
    keys: dict[str, object] = {
        name: _number(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    if parts.username:
        keys["username"] = unquote(parts.username)
    if parts.password:
        keys["password"] = unquote(parts.password)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="")
    return {"url": urlunsplit(address).rstrip("/"), **keys}


def _number(name: str, value: str) -> object:
    if name in _INTEGERS and value.isdecimal():
        return int(value)
    if name in _FLOATS and value.replace(".", "", 1).isdecimal():
        return float(value)
    return value
