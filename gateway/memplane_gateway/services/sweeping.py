"""LifecycleService: delete now what a sweep in the background would."""

from __future__ import annotations

from memplane.v1 import sweep_pb2 as pb
from memplane_gateway.memory.model import Caller
from memplane_gateway.sweeper.sweeper import Sweeper
from memplane_gateway.wire.sweeps import write_sweep


class Sweeping:
    """The rpc SweepMemories."""

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper

    async def sweep_memories(
        self, request: pb.SweepMemoriesRequest, caller: Caller
    ) -> pb.SweepMemoriesResponse:
        """Do a slice of a sweep, or say what it would delete."""
        run, token = await self._sweeper.sweep(
            caller, request.page_token, rehearsal=request.dry_run
        )
        response = pb.SweepMemoriesResponse()
        write_sweep(run, token, response)
        return response
