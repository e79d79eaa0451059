"""MemoryService: delete by namespace and filter."""

from __future__ import annotations

from memplane.v1 import purge_pb2 as pb
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import Purged
from memplane_gateway.routes import Router
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.once import OnceCalls, check
from memplane_gateway.wire.purges import read_purge, write_purged
from memplane_gateway.wire.violations import Violations


class Purging:
    """The rpc PurgeMemories."""

    def __init__(
        self,
        router: Router,
        notes: OnceNotes[Progress],
        running: Running,
        consistency: Consistency,
    ) -> None:
        self._router = router
        self._consistency = consistency
        self._calls = OnceCalls("PurgeMemories", notes, running)

    async def purge_memories(
        self, request: pb.PurgeMemoriesRequest, caller: Caller
    ) -> pb.PurgeMemoriesResponse:
        """Delete what is asked for, or only count it."""
        violations = Violations()
        purge = read_purge(request, violations)
        check(request, violations)
        route = self._router[purge.selection.kind]

        async def run(progress: Progress) -> Purged:
            return await route.memories.purge(caller, purge, progress, dry_run=request.dry_run)

        purged = await self._calls.answer(
            request, route, caller, lambda: route.memories.begin_purge(caller, purge), run
        )
        response = pb.PurgeMemoriesResponse()
        write_purged(purged, response, None if request.dry_run else route.state.durability)
        response.consistency_token = self._consistency.after(caller, [purge.selection.kind])
        return response
