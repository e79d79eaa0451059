"""What can be set about a Chroma store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NUMBERS: Final = frozenset({"connect_timeout", "timeout"})


@dataclass(frozen=True, slots=True)
class ChromaSettings:
    """A server by its URL."""

    url: str = "http://localhost:8000"
    """The address of the server; a path before /api/v2 may stand in it."""
    token: str = field(default="", repr=False)
    token_header: str = "X-Chroma-Token"  # noqa: S105 (a name)
    """Which header carries the token; in "Authorization" it stands behind "Bearer "."""
    tenant: str = "default_tenant"
    """Chroma's own tenant, in which all of ours are kept apart."""
    database: str = "default_database"
    prefix: str = "memplane"
    """What the names of collections begin with: letters, digits, "-" and "_"."""
    ca_file: str = ""
    """Certificates to trust instead of the usual ones, for https."""
    connect_timeout: float = 5.0
    """Seconds to wait for a connection."""
    timeout: float = 30.0
    """Seconds to wait for an answer."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError('url should be like "http://localhost:8000"')
        if address.username is not None or address.password is not None:
            raise ValueError("url should hold no credentials; use token")
        if address.query or address.fragment:
            raise ValueError("url should end with its path")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError('prefix should be 1 to 64 letters, digits, "-" or "_"')
        if not _HEADER.fullmatch(self.token_header):
            raise ValueError("token_header should be the name of a header")
        if not self.token.isascii() or not self.token.isprintable():
            raise ValueError("token should be printable ASCII")
        if not self.tenant or not self.database:
            raise ValueError("tenant and database should not be empty")
        if self.connect_timeout <= 0 or self.timeout <= 0:
            raise ValueError("timeouts should be above 0")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        if not self.token:
            return {}
        bearer = "Bearer " if self.token_header.lower() == "authorization" else ""
        return {self.token_header: f"{bearer}{self.token}"}


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "http://host:8000", "https://host?tenant=a&database=b" or "host:8000"."""
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"http://{url.removeprefix('//')}")
    keys: dict[str, object] = {
        name: float(value) if name in _NUMBERS and _is_number(value) else value
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    return {"url": urlunsplit(parts._replace(query="")).rstrip("/"), **keys}


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
