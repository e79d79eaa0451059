"""What can be set about a Pinecone store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,20}")
"""An index's name has at most 45 characters, of which kind and digest take 24."""
_NUMBERS: Final = frozenset({"timeout", "create_timeout", "visible_timeout"})


@dataclass(frozen=True, slots=True)
class PineconeSettings:
    """A project by its API key."""

    api_key: str = field(default="", repr=False)
    """Empty: what PINECONE_API_KEY holds in the environment."""
    url: str = "https://api.pinecone.io"
    """The control plane."""
    prefix: str = "memplane"
    """What the names of indexes begin with: lower-case letters, digits and "-"."""
    cloud: str = "aws"
    """Where indexes are made; for one that is there already it does not matter."""
    region: str = "us-east-1"
    ca_file: str = ""
    """Certificates to trust instead of the usual ones, for https."""
    timeout: float = 30.0
    """Seconds to wait for a connection, and for an answer."""
    create_timeout: float = 120.0
    """Seconds to wait for a new index to be ready."""
    visible_timeout: float = 30.0
    """Seconds that a read waits for what was written before to be visible."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError('url should be like "https://api.pinecone.io"')
        if address.username is not None or address.password is not None:
            raise ValueError("url should hold no credentials; use api_key")
        if address.query or address.fragment:
            raise ValueError("url should end with its path")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError('prefix should be 1 to 21 lower-case letters, digits or "-"')
        if not self.api_key.isascii() or not self.api_key.isprintable():
            raise ValueError("api_key should be printable ASCII")
        if not self.cloud or not self.region:
            raise ValueError("cloud and region should not be empty")
        if min(self.timeout, self.create_timeout, self.visible_timeout) <= 0:
            raise ValueError("timeouts should be above 0")


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "", "api.pinecone.io", or "https://api.pinecone.io?region=eu-west-1"."""
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"https://{url.removeprefix('//')}")
    keys: dict[str, object] = {
        name: float(value) if name in _NUMBERS and _is_number(value) else value
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    if not parts.netloc:
        return keys
    return {"url": urlunsplit(parts._replace(query="")).rstrip("/"), **keys}


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
