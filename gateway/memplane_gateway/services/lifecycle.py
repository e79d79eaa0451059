"""LifecycleService: decide which memories go."""

from __future__ import annotations

from memplane.v1 import lifecycle_service_pb2 as pb
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes
from memplane_gateway.memory.lifecycle.consolidating import Consolidation
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.routes import Router
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.consolidating import Consolidating
from memplane_gateway.services.forgetting import Forgetting
from memplane_gateway.services.sweeping import Sweeping
from memplane_gateway.sweeper.sweeper import Sweeper
from memplane_gateway.wire.rpc import Rpc, rpcs_of


class LifecycleService:
    """The rpcs of memplane.v1.LifecycleService."""

    def __init__(
        self,
        router: Router,
        forgets: OnceNotes[Progress],
        consolidations: OnceNotes[Consolidation],
        sweeper: Sweeper,
        consistency: Consistency,
    ) -> None:
        running = Running()
        self._forgetting = Forgetting(router, forgets, running, consistency)
        self._consolidating = Consolidating(router, consolidations, running, consistency)
        self._sweeping = Sweeping(sweeper)

    def rpcs(self) -> list[Rpc]:
        """All rpcs of the service."""
        return rpcs_of(
            pb.DESCRIPTOR.services_by_name["LifecycleService"],
            {
                "ForgetMemories": self._forgetting.forget_memories,
                "ConsolidateMemories": self._consolidating.consolidate_memories,
                "SweepMemories": self._sweeping.sweep_memories,
            },
        )
