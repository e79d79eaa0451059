"""Reads of one namespace of an index, in requests that Pinecone takes and can answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from pinecone import AsyncIndex

from memplane_adapters.contract import Stored
from memplane_adapters.kit.batches import parts
from memplane_adapters.pinecone import rows
from memplane_adapters.pinecone.collections import Place
from memplane_adapters.pinecone.engine import Engine
from memplane_adapters.pinecone.errors import NoNamespaceError
from memplane_adapters.pinecone.filters import Where

T = TypeVar("T")

_FETCHED: Final = 100
"""Ids stand in the URL of a fetch."""
_LEAST: Final = 10
_MOST: Final = 1_000
_ANSWER_BYTES: Final = 3 * 2**20
"""An answer holds 4 MB."""
_NUMBER_BYTES: Final = 14
"""Of a number of a vector in an answer, at most."""


class Sizes:
    """How large rows are, so that few are asked for at once where they are large."""

    def __init__(self) -> None:
        self._largest = 1_000

    def saw(self, size: int) -> None:
        """A row has so many bytes of metadata."""
        self._largest = max(self._largest, size)

    def at_once(self, dimension: int) -> int:
        """How many rows an answer holds."""
        return _ANSWER_BYTES // (self._largest + dimension * _NUMBER_BYTES)


class Reader:
    """Reads one namespace."""

    def __init__(self, engine: Engine, place: Place, namespace: str, sizes: Sizes) -> None:
        self._engine = engine
        self.place = place
        self.namespace = namespace
        self._sizes = sizes

    async def ask(self, send: Callable[[AsyncIndex], Awaitable[T]]) -> T | None:
        """One request; None where the service says that the namespace is not there."""
        try:
            return await self._engine.read(self.place.host, send)
        except NoNamespaceError:
            return None

    def fits(self, number: int) -> bool:
        """Whether one answer is likely to hold so many rows."""
        return number <= min(self._sizes.at_once(self.place.dimension), _MOST)

    def decode(self, record: Any, *, vectors: bool) -> Stored:
        """The row of a record that was read. Raises PROTOCOL."""
        stored = rows.decode(record, self.place.dimension, vectors=vectors)
        self._sizes.saw(2 * len(stored.record) + 1_000)
        return stored

    async def fetch(self, ids: Sequence[str]) -> dict[str, Any]:
        """Records by id; what is not there is missing."""
        found: dict[str, Any] = {}
        for part in parts(list(dict.fromkeys(ids)), _FETCHED):
            reply = await self._fetched(part)
            if reply is not None:
                found.update(reply.vectors)
        return found

    async def _fetched(self, ids: list[str]) -> Any:
        return await self.ask(lambda index: index.fetch(ids=ids, namespace=self.namespace))

    async def matching(self, where: Where) -> AsyncIterator[list[Any]]:
        """All records that match, in parts."""
        token: str | None = None
        while True:
            reply = await self._page(where, token)
            if reply is None:
                return
            yield list(reply.vectors.values())
            token = reply.pagination.next if reply.pagination else None
            if not token:
                return

    async def _page(self, where: Where, token: str | None) -> Any:
        limit = min(max(self._sizes.at_once(self.place.dimension), _LEAST), _MOST)
        return await self.ask(
            lambda index: index.fetch_by_metadata(
                filter=where, namespace=self.namespace, limit=limit, pagination_token=token
            )
        )
