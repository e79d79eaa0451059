"""LifecycleService: merge near-duplicates."""

from __future__ import annotations

from memplane.v1 import consolidate_pb2 as pb
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle.consolidating import Consolidation
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import Consolidated
from memplane_gateway.routes import Router
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.once import OnceCalls, check
from memplane_gateway.wire.consolidations import read_consolidate, write_consolidated
from memplane_gateway.wire.violations import Violations


class Consolidating:
    """The rpc ConsolidateMemories."""

    def __init__(
        self,
        router: Router,
        notes: OnceNotes[Consolidation],
        running: Running,
        consistency: Consistency,
    ) -> None:
        self._router = router
        self._consistency = consistency
        self._calls = OnceCalls("ConsolidateMemories", notes, running)

    async def consolidate_memories(
        self, request: pb.ConsolidateMemoriesRequest, caller: Caller
    ) -> pb.ConsolidateMemoriesResponse:
        """Merge near-duplicates, or only say which are."""
        violations = Violations()
        asked = read_consolidate(request, violations)
        check(request, violations)
        kind = asked.selection.kind
        route = self._router[kind]

        async def run(progress: Consolidation) -> Consolidated:
            return await route.memories.consolidate(
                caller, asked, progress, dry_run=request.dry_run
            )

        done = await self._calls.answer(
            request, route, caller, lambda: route.memories.begin_consolidate(caller, asked), run
        )
        response = pb.ConsolidateMemoriesResponse()
        durability = None if request.dry_run else route.state.durability
        write_consolidated(done, kind, response, durability)
        response.consistency_token = self._consistency.after(caller, [kind])
        return response
