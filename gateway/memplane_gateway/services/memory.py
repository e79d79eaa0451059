"""MemoryService: keep and find memories."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.contract import (
    POINT_NAMESPACE,
    Address,
    Durability,
    Kind,
    Vector,
)
from memplane_gateway import limits
from memplane_gateway.clock import Clock
from memplane_gateway.errors import MemplaneError, Reason, unimplemented
from memplane_gateway.memory.idempotency import Running
from memplane_gateway.memory.model import Caller, Memory, Operation, Removal, Written
from memplane_gateway.memory.purging import PurgeNotes
from memplane_gateway.memory.questions import Found, Search
from memplane_gateway.memory.removals import RemovalNotes
from memplane_gateway.pacing import paced
from memplane_gateway.routes import Route, Router, durability_refusal
from memplane_gateway.services.calls import (
    Translated,
    know_durability,
    read_min_durability,
    refuse_token,
)
from memplane_gateway.services.overview import Overview
from memplane_gateway.services.purging import Purging
from memplane_gateway.wire.memories import (
    body_hash_of,
    read_delete,
    read_put,
    read_ref,
    read_update,
    write_memory,
)
from memplane_gateway.wire.queries import (
    read_listing,
    read_search,
    read_selection,
    read_view,
    write_count,
    write_found,
    write_page,
)
from memplane_gateway.wire.replies import write_written
from memplane_gateway.wire.rpc import Rpc, rpcs_of
from memplane_gateway.wire.violations import Violations


class _Addressed(Protocol):
    @property
    def address(self) -> Address: ...


ItemT = TypeVar("ItemT", bound=_Addressed)
OutT = TypeVar("OutT")


class MemoryService:
    """The rpcs of memplane.v1.MemoryService."""

    def __init__(
        self, router: Router, clock: Clock, notes: RemovalNotes, purges: PurgeNotes
    ) -> None:
        self._router = router
        self._clock = clock
        self._notes = notes
        self._running = Running()
        self._overview = Overview(router)
        self._purging = Purging(router, purges, self._running)

    def rpcs(self) -> list[Rpc]:
        """All rpcs of the service."""
        return rpcs_of(
            pb.DESCRIPTOR.services_by_name["MemoryService"],
            {
                "PutMemories": self.put_memories,
                "GetMemories": self.get_memories,
                "UpdateMemories": self.update_memories,
                "DeleteMemories": self.delete_memories,
                "SearchMemories": self.search_memories,
                "ListMemories": self.list_memories,
                "CountMemories": self.count_memories,
                "PurgeMemories": self._purging.purge_memories,
                "GetStatistics": self._overview.get_statistics,
                "ListNamespaces": self._overview.list_namespaces,
            },
        )

    async def put_memories(
        self, request: pb.PutMemoriesRequest, caller: Caller
    ) -> pb.PutMemoriesResponse:
        """Write whole memories."""
        violations = Violations()
        violations.count(request.puts, "puts", 1, limits.BATCH_ITEMS)
        now = self._clock.now()
        puts = [
            read_put(
                item,
                caller.tenant,
                f"puts[{index}]",
                violations,
                minted=_minted(caller, request.request_id, index)
                if not item.memory.ref.key
                else "",
                replayable=bool(request.request_id),
                now=now,
                index=index,
            )
            async for index, item in paced(enumerate(request.puts[: limits.BATCH_ITEMS]))
        ]
        for index, put in enumerate(puts):
            self._check_dimension(
                put.address.kind, put.vector, f"puts[{index}].memory.vector", violations
            )
        if request.atomic:
            self._check_atomic(puts, "puts[{}].memory.ref", violations)
        caller, asked = self._check_write(request, puts, "puts", caller, violations)
        caller = await _with_body(caller, request.puts, atomic=request.atomic)
        async with self._running.alone(caller, Operation.PUT):
            written, routes = await self._by_route(
                puts,
                asked,
                lambda route, part: route.memories.put(
                    caller, part, atomic=request.atomic, spool=asked is None
                ),
            )
        response = pb.PutMemoriesResponse()
        _write_results(written, routes, response.results)
        return response

    async def get_memories(
        self, request: pb.GetMemoriesRequest, caller: Caller
    ) -> pb.GetMemoriesResponse:
        """Read memories by ref."""
        violations = Violations()
        violations.count(request.refs, "refs", 0, limits.BATCH_ITEMS)
        addresses = [
            read_ref(ref, caller.tenant, f"refs[{index}]", violations)
            for index, ref in enumerate(request.refs[: limits.BATCH_ITEMS])
        ]
        vectors = read_view(request.view, "view", violations)
        refuse_token(request.consistency_token, violations)
        violations.raise_if_any()
        found: dict[int, Memory | None] = {}
        room = limits.REPLY_BYTES
        for kind, indexes in _grouped([address.kind for address in addresses]).items():
            route = self._router[kind]
            with Translated(route):
                memories = await route.memories.get(
                    [addresses[index] for index in indexes],
                    vectors=vectors,
                    max_bytes=room,
                    alone=len(addresses) == 1,
                )
            room -= sum(memory.size for memory in memories if memory is not None)
            found.update(zip(indexes, memories, strict=True))
        response = pb.GetMemoriesResponse()
        async for index, ref in paced(enumerate(request.refs)):
            result = response.results.add()
            result.ref.CopyFrom(ref)
            memory = found[index]
            if memory is not None:
                write_memory(memory, result.memory, vectors=vectors)
        return response

    async def update_memories(
        self, request: pb.UpdateMemoriesRequest, caller: Caller
    ) -> pb.UpdateMemoriesResponse:
        """Change parts of memories."""
        violations = Violations()
        violations.count(request.updates, "updates", 1, limits.BATCH_ITEMS)
        now = self._clock.now()
        updates = [
            read_update(item, caller.tenant, f"updates[{index}]", violations, now=now, index=index)
            async for index, item in paced(enumerate(request.updates[: limits.BATCH_ITEMS]))
        ]
        caller, asked = self._check_write(request, updates, "updates", caller, violations)
        caller = await _with_body(caller, request.updates)
        async with self._running.alone(caller, Operation.UPDATE):
            written, routes = await self._by_route(
                updates,
                asked,
                lambda route, part: route.memories.update(caller, part, spool=asked is None),
            )
        response = pb.UpdateMemoriesResponse()
        _write_results(written, routes, response.results)
        return response

    async def delete_memories(
        self, request: pb.DeleteMemoriesRequest, caller: Caller
    ) -> pb.DeleteMemoriesResponse:
        """Delete memories by ref."""
        violations = Violations()
        violations.count(request.deletes, "deletes", 0, limits.BATCH_ITEMS)
        removals = [
            read_delete(item, caller.tenant, f"deletes[{index}]", violations)
            for index, item in enumerate(request.deletes[: limits.BATCH_ITEMS])
        ]
        if request.atomic:
            self._check_atomic(removals, "deletes[{}].ref", violations)
        caller, asked = self._check_write(request, removals, "deletes", caller, violations)
        caller = await _with_body(caller, request.deletes, atomic=request.atomic)

        async def delete(left: list[Removal]) -> list[Written]:
            done, _ = await self._by_route(
                left,
                asked,
                lambda route, part: route.memories.delete(
                    part, atomic=request.atomic, spool=asked is None
                ),
            )
            return done

        async with self._running.alone(caller, Operation.DELETE):
            written = await self._notes.once(caller, removals, delete)
        routes = [self._router[removal.address.kind] for removal in removals]
        response = pb.DeleteMemoriesResponse()
        _write_results(written, routes, response.results)
        return response

    async def search_memories(
        self, request: pb.SearchMemoriesRequest, caller: Caller
    ) -> pb.SearchMemoriesResponse:
        """Find memories."""
        violations = Violations()
        violations.count(request.queries, "queries", 1, limits.QUERY_ITEMS)
        searches = [
            read_search(query, caller.tenant, f"queries[{index}]", violations)
            for index, query in enumerate(request.queries[: limits.QUERY_ITEMS])
        ]
        for index, search in enumerate(searches):
            self._check_dimension(
                search.selection.kind, search.vector, f"queries[{index}].vector", violations
            )
        refuse_token(request.consistency_token, violations)
        violations.raise_if_any()
        share = min(limits.PAGE_BYTES, limits.REPLY_BYTES // len(searches))
        answers = await asyncio.gather(
            *(self._search(caller, replace(search, max_bytes=share)) for search in searches)
        )
        response = pb.SearchMemoriesResponse()
        for found, search in zip(answers, searches, strict=True):
            await write_found(found, response.results.add(), vectors=search.vectors)
        return response

    async def list_memories(
        self, request: pb.ListMemoriesRequest, caller: Caller
    ) -> pb.ListMemoriesResponse:
        """A page of a walk."""
        violations = Violations()
        listing = read_listing(request, violations)
        refuse_token(request.consistency_token, violations)
        violations.raise_if_any()
        route = self._router[listing.selection.kind]
        with Translated(route):
            page = await route.memories.list(caller, listing)
        response = pb.ListMemoriesResponse()
        await write_page(page, response, vectors=listing.vectors)
        return response

    async def count_memories(
        self, request: pb.CountMemoriesRequest, caller: Caller
    ) -> pb.CountMemoriesResponse:
        """How many."""
        violations = Violations()
        selection = read_selection(request, "", violations)
        refuse_token(request.consistency_token, violations)
        violations.raise_if_any()
        route = self._router[selection.kind]
        with Translated(route):
            counted = await route.memories.count(caller, selection)
        response = pb.CountMemoriesResponse()
        write_count(counted, response)
        return response

    async def _search(self, caller: Caller, search: Search) -> Found:
        route = self._router[search.selection.kind]
        with Translated(route):
            return await route.memories.search(caller, search)

    async def _by_route(
        self,
        items: Sequence[ItemT],
        asked: Durability | None,
        write: Callable[[Route, list[ItemT]], Awaitable[list[Written]]],
    ) -> tuple[list[Written], list[Route]]:
        """Write each item on the route of its kind.

        A route that fails fails the call when nothing is written yet, else only its own items.
        """
        groups = _grouped([item.address.kind for item in items])
        for kind in groups:
            refused = durability_refusal(asked, self._router[kind])
            if refused is not None:
                raise refused
        written: dict[int, Written] = {}
        for kind, indexes in groups.items():
            route = self._router[kind]
            part = [items[index] for index in indexes]
            try:
                with Translated(route):
                    results = await write(route, part)
            except MemplaneError as error:
                if not written:
                    raise
                results = [Written(item.address, error=error) for item in part]
            written.update(zip(indexes, results, strict=True))
            await know_durability(route)
        routes = [self._router[item.address.kind] for item in items]
        return [written[index] for index in range(len(items))], routes

    def _check_write(
        self,
        request: pb.PutMemoriesRequest | pb.UpdateMemoriesRequest | pb.DeleteMemoriesRequest,
        items: Sequence[ItemT],
        field: str,
        caller: Caller,
        violations: Violations,
    ) -> tuple[Caller, Durability | None]:
        """What all writes check. Raises INVALID_ARGUMENT for all that is wrong with the request."""
        first: dict[Address, int] = {}
        for index, item in enumerate(items):
            other = first.setdefault(item.address, index)
            if other != index:
                violations.add(f"{field}[{index}]", f"the same ref as {field}[{other}]")
        violations.short(request.request_id, "request_id", limits.REQUEST_ID_BYTES)
        asked = read_min_durability(request.min_durability, violations)
        violations.raise_if_any()
        return replace(caller, request_id=request.request_id), asked

    def _check_atomic(self, items: Sequence[ItemT], ref: str, violations: Violations) -> None:
        """What an atomic call checks; `ref` is the path of an item's ref.

        Raises UNIMPLEMENTED when the store could not do it whatever the request says.
        """
        for index, address in enumerate(item.address for item in items):
            if address.kind is not Kind.PROCEDURAL:
                violations.add(f"{ref.format(index)}.kind", "atomic takes PROCEDURAL alone")
            elif address.namespace != items[0].address.namespace:
                first = f"{ref.format(0)}.namespace"
                violations.add(f"{ref.format(index)}.namespace", f"atomic: is not {first}")
        if violations.noted or self._router[Kind.PROCEDURAL].capabilities.atomic:
            return
        raise unimplemented("atomic", Kind.PROCEDURAL.value, "its store has no atomic batches")

    def _check_dimension(
        self, kind: Kind, vector: Vector | None, field: str, violations: Violations
    ) -> None:
        embedding = self._router[kind].embedding
        if vector is None or embedding is None or len(vector) == embedding.dimension:
            return
        violations.add(field, f"{len(vector)} dimensions, but the route has {embedding.dimension}")
        violations.reason = Reason.DIMENSION_MISMATCH
        violations.metadata = {
            "expected": str(embedding.dimension),
            "actual": str(len(vector)),
        }


async def _with_body(caller: Caller, items: Iterable[Message], *, atomic: bool = False) -> Caller:
    """The caller with the hash that recognises the call's body, if it has a request id."""
    if not caller.request_id:
        return caller
    return replace(caller, body_hash=await body_hash_of(items, atomic=atomic))


def _grouped(kinds: Sequence[Kind]) -> Mapping[Kind, list[int]]:
    groups: dict[Kind, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return groups


def _write_results(
    written: Sequence[Written],
    routes: Sequence[Route],
    results: RepeatedResults,
) -> None:
    for item, route in zip(written, routes, strict=True):
        write_written(
            item,
            results.add(),
            route.state.durability,
            visible=route.capabilities.read_your_writes,
        )


class RepeatedResults(Protocol):
    """The results of a reply."""

    def add(self) -> pb.WriteResult:
        """One more."""
        ...


def _minted(caller: Caller, request_id: str, index: int) -> str:
    """A key for a put that has none: the same for a retry with the same request id."""
    if request_id:
        return str(uuid.uuid5(POINT_NAMESPACE, f"{caller.tenant}\0{request_id}\0{index}"))
    return str(_uuid7())


def _uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
