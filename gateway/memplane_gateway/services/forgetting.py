"""LifecycleService: delete by age, inactivity and decayed importance."""

from __future__ import annotations

from memplane.v1 import forget_pb2 as pb
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import Forgotten
from memplane_gateway.routes import Router
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.once import OnceCalls, check
from memplane_gateway.wire.forgets import read_forget, write_forgotten
from memplane_gateway.wire.violations import Violations


class Forgetting:
    """The rpc ForgetMemories."""

    def __init__(
        self,
        router: Router,
        notes: OnceNotes[Progress],
        running: Running,
        consistency: Consistency,
    ) -> None:
        self._router = router
        self._consistency = consistency
        self._calls = OnceCalls("ForgetMemories", notes, running)

    async def forget_memories(
        self, request: pb.ForgetMemoriesRequest, caller: Caller
    ) -> pb.ForgetMemoriesResponse:
        """Delete what is to be forgotten, or only say what that is."""
        violations = Violations()
        forget = read_forget(request, violations)
        check(request, violations)
        kind = forget.selection.kind
        route = self._router[kind]

        async def run(progress: Progress) -> Forgotten:
            return await route.memories.forget(caller, forget, progress, dry_run=request.dry_run)

        forgotten = await self._calls.answer(
            request, route, caller, lambda: route.memories.begin_forget(caller, forget), run
        )
        response = pb.ForgetMemoriesResponse()
        durability = None if request.dry_run else route.state.durability
        write_forgotten(forgotten, kind, response, durability)
        response.consistency_token = self._consistency.after(caller, [kind])
        return response
