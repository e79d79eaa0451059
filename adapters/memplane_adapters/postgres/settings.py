"""What can be set about a PostgreSQL store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_SCHEMA: Final = re.compile(r"(?!pg_)[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SCHEMES: Final = ("postgresql", "postgres")
_OURS: Final[Mapping[str, type]] = {
    "user": str,
    "password": str,
    "schema": str,
    "index": str,
    "ef_search": int,
    "ca_file": str,
    "connections": int,
    "prepared_statements": bool,
    "connect_timeout": float,
    "timeout": float,
}
_MOST_EF_SEARCH: Final = 1_000
_SECRET: Final = frozenset({"password", "sslpassword", "passfile"})


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """A database by its URL."""

    url: str = "postgresql://localhost:5432/memplane"
    """The address of the server and the database; behind "?" may stand what libpq knows, such as
    sslmode, and several hosts behind one another with commas."""
    user: str = ""
    password: str = field(default="", repr=False)
    schema: str = "memplane"
    """Where the tables are, made when it is not there: letters, digits, "-" and "_"."""
    index: Literal["none", "hnsw"] = "none"
    """How vectors are found: by looking at all of a scope, which is exact, or by pgvector's HNSW, which
    may miss some, is faster from some ten thousand memories in a scope on, and slows writes down."""
    ef_search: int = 100
    """How far a search by HNSW looks around, 1 to 1000: the larger, the fewer it misses."""
    ca_file: str = ""
    """Certificates to trust; the server's must then be one of theirs, for its own name."""
    connections: int = 10
    """Most connections at a time; they are made when they are needed, and kept."""
    prepared_statements: bool = True
    """Whether the server keeps statements prepared; it never does so behind a pooler that shows itself."""
    connect_timeout: float = 5.0
    """Seconds to wait for a connection to a host, or for a free one; libpq takes 2 at least."""
    timeout: float = 30.0
    """Seconds to wait for an answer; the server ends a statement then, too."""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        if address.scheme not in _SCHEMES:
            raise ValueError('url should be like "postgresql://localhost:5432/memplane"')
        if "@" in address.netloc or _SECRET & query.keys():
            raise ValueError("url should hold no credentials; use user and password")
        for name in _OURS.keys() & query.keys():
            raise ValueError(f"url should not hold {name}: it is a setting of its own")
        if not _SCHEMA.fullmatch(self.schema):
            raise ValueError(
                'schema should be 1 to 63 letters, digits, "-" or "_", and not begin with "pg_"'
            )
        if not 1 <= self.ef_search <= _MOST_EF_SEARCH:
            raise ValueError(f"ef_search should be 1 to {_MOST_EF_SEARCH}")
        if self.connections < 1:
            raise ValueError("connections should be at least 1")
        if self.connect_timeout <= 0 or self.timeout <= 0:
            raise ValueError("timeouts should be above 0")


def from_url(url: str) -> Mapping[str, object]:
    """Keys from "postgresql://user:password@host:5432/database?schema=a", or without the scheme."""
    if not url:
        return {}
    parts = urlsplit(url if "://" in url else f"postgresql://{url.removeprefix('//')}")
    credentials, at, hosts = parts.netloc.rpartition("@")
    keys: dict[str, object] = {}
    if at:
        user, colon, password = credentials.partition(":")
        keys["user"] = unquote(user)
        if colon:
            keys["password"] = unquote(password)
    theirs: list[tuple[str, str]] = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _OURS:
            keys[name] = _read(value, _OURS[name])
        else:
            theirs.append((name, value))
    query = urlencode(theirs, quote_via=quote)  # libpq takes a plus for a plus
    address = f"{parts.scheme}://{hosts}{parts.path}"
    return {"url": f"{address}?{query}" if query else address, **keys}


def _read(text: str, kind: type) -> object:
    """A number or a bool, if it is one; otherwise the text, which is then refused by its name."""
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is int and text.isdecimal():
        return int(text)
    if kind is float and text.replace(".", "", 1).isdecimal():
        return float(text)
    return text
