"""The same rows through a vendor's own library, as somebody would write it who needs no gateway.

One collection, one row a memory: the id, the vector, the text, and the namespace and all else as plain
metadata to filter by. No preconditions, no request ids, no other answers than the library's.

A module a vendor, named like its adapter, with the class as DIRECT: a new vendor is a new file.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from bench.stores import Place

Vector: TypeAlias = npt.NDArray[np.float32]
Fields: TypeAlias = Mapping[str, str | int]

NAMESPACE: Final = "namespace"
TEXT: Final = "text"


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a memory."""

    name: str
    """Unique among all."""
    namespace: str
    text: str
    vector: Vector
    metadata: Fields

    @property
    def id(self) -> str:
        """A UUID, which every vendor takes."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))

    @property
    def fields(self) -> dict[str, str | int]:
        """The metadata, and the namespace among it."""
        return {**self.metadata, NAMESPACE: self.namespace}


@dataclass(frozen=True, slots=True)
class Found:
    """What is read of a row."""

    id: str
    text: str
    fields: Fields
    """As `Row.fields`."""
    score: float | None = None
    """The cosine, of a row that was searched."""


class Direct(Protocol):
    """A collection of its own, by the vendor's library."""

    library: str
    """What it goes through."""

    async def open(self, example: Row, /) -> None:
        """Connect, and make the collection for rows with such vectors and metadata."""
        ...

    async def put(self, rows: Sequence[Row]) -> None:
        """Write a batch, in place of what has the ids; it is there when this returns."""
        ...

    async def get(self, id: str, namespace: str, /) -> Found | None:
        """Read a row of a namespace with its text and metadata."""
        ...

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        """The nearest rows of a namespace whose metadata has these values, nearest first."""
        ...

    async def close(self) -> None:
        """Remove the collection, and whatever else a gateway made beside it; disconnect."""
        ...


class _Module(Protocol):
    def DIRECT(self, place: Place, /) -> Direct: ...  # noqa: N802 (a class)


def direct_for(place: Place) -> Direct | None:
    """That of a place's adapter; None for an adapter without."""
    name = f"{__name__}.{place.adapter}"
    if find_spec(name) is None:
        return None
    return cast("_Module", import_module(name)).DIRECT(place)
