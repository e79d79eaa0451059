"""Reads of rows of one tenant, in answers that a server can send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from memplane_adapters.contract import Address, Filter, Scope
from memplane_adapters.kit.batches import parts
from memplane_adapters.weaviate import filters, rows
from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.collections import Place, tenant_name
from memplane_adapters.weaviate.errors import AnswerTooLargeError, NoTenantError
from memplane_adapters.weaviate.filters import Selected
from memplane_adapters.weaviate.gates import Door, Gates, Written
from memplane_adapters.weaviate.stubs import aggregate_pb2, base_pb2, search_get_pb2

T = TypeVar("T")

QUORUM: Final = base_pb2.CONSISTENCY_LEVEL_QUORUM
"""Of writes and of reads, so that what was written is seen. One node alone is its own quorum."""

MOST_ROWS: Final = 10_000
"""More than these a server does not give in one answer, nor deletes at once (QUERY_MAXIMUM_RESULTS)."""

_READ_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of one tenant that a call is about."""

    door: Door
    filters: Selected
    covers: Callable[[str, Address], bool]
    """Whether it may have the row of that id and address."""

    @classmethod
    def of(cls, place: Place, scope: Scope, tree: Filter | None) -> Selection | None:
        """The selection of a call; None where it is empty for sure. Raises UNSUPPORTED."""
        selected = filters.select(scope, tree, place.ranges)
        if selected is None:
            return None
        door = place.called, tenant_name(scope.tenant)
        return cls(door, selected, lambda _id, address: scope.covers(address))

    @classmethod
    def of_ids(cls, place: Place, tenant: str, ids: Sequence[str]) -> Selection:
        """Rows by their ids."""
        door, asked = (place.called, tenant_name(tenant)), frozenset(ids)
        return cls(door, filters.of_ids(ids), lambda one, _address: one in asked)

    def narrowed(self, *further: Selected) -> Selection:
        """The rows that fulfil more."""
        return replace(self, filters=filters.both(self.filters, *further))

    def narrowed_to(self, ids: Sequence[str]) -> Selection:
        """Of these rows those that are in it."""
        asked = frozenset(ids)
        selected = filters.both(self.filters, filters.of_ids(ids))
        return replace(self, filters=selected, covers=lambda one, _address: one in asked)


class Reader:
    """Reads through one client."""

    def __init__(self, client: Client, gates: Gates) -> None:
        self._client = client
        self._gates = gates

    async def search(
        self,
        selection: Selection,
        limit: int,
        properties: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
        **how: Any,
    ) -> Sequence[search_get_pb2.SearchResult]:
        """Rows of a selection, with their ids; none of a tenant that never wrote.

        `how` says by what they are searched or sorted. Raises AnswerTooLargeError.
        """
        collection, tenant = selection.door
        request = search_get_pb2.SearchRequest(
            collection=collection,
            tenant=tenant,
            consistency_level=QUORUM,
            filters=selection.filters,
            limit=limit,
            properties=search_get_pb2.PropertiesRequest(non_ref_properties=properties),
            metadata=search_get_pb2.MetadataRequest(uuid=True, **(metadata or {})),
            uses_123_api=True,
            uses_125_api=True,
            uses_127_api=True,
            **how,
        )
        try:
            with self._gates.watching(selection.door) as written:
                results = (await self._client.search(request)).results
            if written and any(_lacking(selection, written, set(map(rows.id_in, results)))):
                async with self._gates.alone(selection.door):
                    results = (await self._client.search(request)).results
        except NoTenantError:
            return ()
        return results

    async def count(self, selection: Selection) -> int:
        """How many rows there are."""
        collection, tenant = selection.door
        request = aggregate_pb2.AggregateRequest(
            collection=collection,
            tenant=tenant,
            objects_count=True,
            filters=selection.filters,
        )
        try:
            with self._gates.watching(selection.door) as written:
                answer = await self._client.aggregate(request)
            if any(_lacking(selection, written, frozenset())):
                async with self._gates.alone(selection.door):
                    answer = await self._client.aggregate(request)
        except NoTenantError:
            return 0
        return int(answer.single_result.objects_count)

    async def rows(
        self,
        selection: Selection,
        ids: Sequence[str],
        *,
        vectors: bool,
        further: Sequence[str] = (),
    ) -> dict[str, search_get_pb2.SearchResult]:
        """Rows with their records, of those ids that the selection has, by id."""
        metadata = {"vectors": [rows.VECTOR]} if vectors else {}
        try:
            results = await self.search(
                selection.narrowed_to(ids),
                len(ids),
                [rows.RECORD, *further],
                metadata,
            )
        except AnswerTooLargeError:
            if len(ids) == 1:
                raise
            half = len(ids) // 2
            first, second = ids[:half], ids[half:]
            found = await self.rows(selection, first, vectors=vectors, further=further)
            return found | await self.rows(selection, second, vectors=vectors, further=further)
        return {rows.id_in(result): result for result in results}

    @staticmethod
    def parts(items: Sequence[T]) -> Iterable[Sequence[T]]:
        """So many as are read at once."""
        return parts(items, _READ_AT_ONCE)


def _lacking(selection: Selection, written: Written, found: AbstractSet[str]) -> Iterator[bool]:
    """For each row that was being written, whether an answer may lack it."""
    return (one not in found and selection.covers(one, address) for one, address in written.items())
