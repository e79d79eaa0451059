"""The tables of a schema, as statements need them: pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 1000
"""So much of a place is in the indexes: PostgreSQL takes 2,704 bytes a row there, and a place may be
longer. What follows is compared in the table."""

_OIDS: Final = {"bytea": 17, "text": 25}
"""The types whose values are the same bytes on the wire as they are here."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column beside those that all tables have."""

    name: str
    sent: str
    """The type that is sent for it; of a batch an array of these is."""
    type: str = ""
    """The type that it has, when it is another."""
    number: int = 0
    """What the server calls the sent type, where its name does not say that."""

    @property
    def oid(self) -> int:
        """The number of the type that is sent, if a batch is put into an array by us; else 0."""
        return self.number or _OIDS.get(self.sent, 0)

    @property
    def value(self) -> str:
        """What it is to hold, by the name of what was sent."""
        return f"{self.name}::{self.type}" if self.type else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """A table of entries, or of points."""

    name: str
    """As it stands in statements; {schema} is filled in."""
    columns: tuple[Column, ...]
    """Those of its own, behind the ones that all have."""
    head: str
    """What its indexes hold of a place."""
    payload: tuple[str, ...] = ("record",)
    """The columns that a row is given back with."""
    words: str = ""
    """A table with the terms of each row; empty where no terms are kept."""


ENTRIES: Final = Table(
    "{schema}.entry",
    (Column("fields", "text"), Column("record", "bytea")),
    head=f"substr(place, 1, {HEAD_BYTES})",
)
"""What a key-value store keeps."""
