"""MemoryService: keep and find memories."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from memplane.v1 import memory_service_pb2 as pb
from memplane_gateway import limits
from memplane_gateway.clock import Clock
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.calls.removals import RemovalNotes
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Caller, Memory, Operation, Removal, Written
from memplane_gateway.memory.questions import Found, Search
from memplane_gateway.pacing import paced
from memplane_gateway.routes import Router
from memplane_gateway.services.calls import Translated
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.overview import Overview
from memplane_gateway.services.purging import Purging
from memplane_gateway.services.streams import Streams
from memplane_gateway.services.writes import (
    Writes,
    grouped,
    minted_key,
    with_body,
    write_results,
)
from memplane_gateway.wire.memories import (
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
from memplane_gateway.wire.rpc import Rpc, rpcs_of
from memplane_gateway.wire.violations import Violations


class MemoryService:
    """The rpcs of memplane.v1.MemoryService."""

    def __init__(
        self,
        router: Router,
        clock: Clock,
        notes: RemovalNotes,
        purges: OnceNotes[Progress],
        consistency: Consistency,
    ) -> None:
        self._router = router
        self._clock = clock
        self._notes = notes
        self._running = Running()
        self._consistency = consistency
        self._overview = Overview(router, consistency)
        self._purging = Purging(router, purges, self._running, consistency)
        self._writes = Writes(router)
        self._streams = Streams(router, clock, self._writes, self._running, consistency)

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
                "IngestMemories": self._streams.ingest_memories,
                "ScanMemories": self._streams.scan_memories,
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
                minted=minted_key(caller, request.request_id, index)
                if not item.memory.ref.key
                else "",
                replayable=bool(request.request_id),
                now=now,
                index=index,
            )
            async for index, item in paced(enumerate(request.puts[: limits.BATCH_ITEMS]))
        ]
        async for index, put in paced(enumerate(puts)):
            self._writes.check_dimension(
                put.address.kind, put.vector, f"puts[{index}].memory.vector", violations
            )
            self._writes.check_further(put, f"puts[{index}].memory.indexed_texts", violations)
            self._writes.check_room(put, caller, f"puts[{index}].memory", violations)
        if request.atomic:
            self._writes.check_atomic(puts, "puts[{}].memory.ref", violations)
        caller, asked = self._writes.check(request, puts, "puts", caller, violations)
        caller = await with_body(caller, request.puts, atomic=request.atomic)
        async with self._running.alone(caller, Operation.PUT):
            written, routes = await self._writes.by_route(
                puts,
                asked,
                lambda route, part: route.memories.put(
                    caller, part, atomic=request.atomic, spool=asked is None
                ),
            )
        response = pb.PutMemoriesResponse()
        write_results(written, routes, response.results)
        kinds = (item.address.kind for item in written)
        response.consistency_token = self._consistency.after(caller, kinds)
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
        self._consistency.heed(request.consistency_token, caller, violations)
        violations.raise_if_any()
        found: dict[int, Memory | None] = {}
        room = limits.REPLY_BYTES
        for kind, indexes in grouped([address.kind for address in addresses]).items():
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
        for index, update in enumerate(updates):
            self._writes.check_further(update, f"updates[{index}].indexed_texts.texts", violations)
        caller, asked = self._writes.check(request, updates, "updates", caller, violations)
        caller = await with_body(caller, request.updates)
        async with self._running.alone(caller, Operation.UPDATE):
            written, routes = await self._writes.by_route(
                updates,
                asked,
                lambda route, part: route.memories.update(caller, part, spool=asked is None),
            )
        response = pb.UpdateMemoriesResponse()
        write_results(written, routes, response.results)
        kinds = (item.address.kind for item in written)
        response.consistency_token = self._consistency.after(caller, kinds)
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
            self._writes.check_atomic(removals, "deletes[{}].ref", violations)
        caller, asked = self._writes.check(request, removals, "deletes", caller, violations)
        caller = await with_body(caller, request.deletes, atomic=request.atomic)

        async def delete(left: list[Removal]) -> list[Written]:
            done, _ = await self._writes.by_route(
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
        write_results(written, routes, response.results)
        kinds = (item.address.kind for item in written)
        response.consistency_token = self._consistency.after(caller, kinds)
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
            self._writes.check_dimension(
                search.selection.kind, search.vector, f"queries[{index}].vector", violations
            )
        self._consistency.heed(request.consistency_token, caller, violations)
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
        self._consistency.heed(request.consistency_token, caller, violations)
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
        self._consistency.heed(request.consistency_token, caller, violations)
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
