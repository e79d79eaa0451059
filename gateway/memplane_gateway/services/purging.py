"""MemoryService: delete by namespace and filter."""

from __future__ import annotations

from dataclasses import replace

from memplane.v1 import purge_pb2 as pb
from memplane_gateway import limits
from memplane_gateway.memory.idempotency import Running
from memplane_gateway.memory.model import Caller, Operation
from memplane_gateway.memory.purging import Progress, PurgeNotes
from memplane_gateway.memory.questions import Purged
from memplane_gateway.routes import Router, durability_refusal
from memplane_gateway.services.calls import Translated, know_durability, read_min_durability
from memplane_gateway.wire.purges import purge_hash, read_purge, write_purged
from memplane_gateway.wire.violations import Violations


class Purging:
    """The rpc PurgeMemories."""

    def __init__(self, router: Router, notes: PurgeNotes, running: Running) -> None:
        self._router = router
        self._notes = notes
        self._running = running

    async def purge_memories(
        self, request: pb.PurgeMemoriesRequest, caller: Caller
    ) -> pb.PurgeMemoriesResponse:
        """Delete what is asked for, or only count it."""
        violations = Violations()
        purge = read_purge(request, violations)
        violations.short(request.request_id, "request_id", limits.REQUEST_ID_BYTES)
        asked = read_min_durability(request.min_durability, violations)
        violations.raise_if_any()
        route = self._router[purge.selection.kind]
        refused = durability_refusal(asked, route)
        if refused is not None:
            raise refused
        response = pb.PurgeMemoriesResponse()
        with Translated(route):
            memories = route.memories
            progress = memories.begin_purge(caller, purge)
            if request.dry_run:
                purged = await memories.purge(caller, purge, progress, dry_run=True)
                write_purged(purged, response, None)
                return response

            async def run(progress: Progress) -> Purged:
                return await memories.purge(caller, purge, progress)

            caller = replace(caller, request_id=request.request_id, body_hash=purge_hash(request))
            async with self._running.alone(caller, Operation.PURGE):
                purged = await self._notes.once(caller, progress, run)
        await know_durability(route)
        write_purged(purged, response, route.state.durability)
        return response
