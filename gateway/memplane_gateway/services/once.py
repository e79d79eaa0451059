"""What the calls that walk far and delete have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, TypeAlias

from memplane.v1 import consolidate_pb2, forget_pb2, purge_pb2
from memplane_gateway import limits
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.calls.once import OnceNotes, ProgressT, ReceiptT
from memplane_gateway.memory.model import Caller
from memplane_gateway.routes import Route, durability_refusal
from memplane_gateway.services.calls import Translated, know_durability, read_min_durability
from memplane_gateway.services.writes import check_writable
from memplane_gateway.wire.questions import question_hash
from memplane_gateway.wire.violations import Violations

OnceRequest: TypeAlias = (
    purge_pb2.PurgeMemoriesRequest
    | forget_pb2.ForgetMemoriesRequest
    | consolidate_pb2.ConsolidateMemoriesRequest
)


class OnceCalls(Generic[ProgressT]):
    """Carries the calls of one rpc out once, each alone with its request id."""

    def __init__(self, rpc: str, notes: OnceNotes[ProgressT], running: Running) -> None:
        self._rpc = rpc
        self._notes = notes
        self._running = running

    async def answer(
        self,
        request: OnceRequest,
        route: Route,
        caller: Caller,
        begin: Callable[[], ProgressT],
        run: Callable[[ProgressT], Awaitable[ReceiptT]],
    ) -> ReceiptT:
        """The receipt of a run. The request has passed `check`; a dry run is not noted.

        Raises FAILED_PRECONDITION where the route reaches less than was asked for, UNIMPLEMENTED
        where it is read-only.
        """
        check_writable(route)
        refused = durability_refusal(
            read_min_durability(request.min_durability, Violations()), route
        )
        if refused is not None:
            raise refused
        with Translated(route):
            progress = begin()
            if request.dry_run:
                return await run(progress)
            body = question_hash(self._rpc, request, "request_id", "min_durability")
            caller = replace(caller, request_id=request.request_id, body_hash=body)
            async with self._running.alone(caller, self._notes.operation):
                receipt = await self._notes.once(caller, progress, run)
        await know_durability(route)
        return receipt


def check(request: OnceRequest, violations: Violations) -> None:
    """Note what is wrong with the fields that all of them have; raise if anything is."""
    violations.short(request.request_id, "request_id", limits.REQUEST_ID_BYTES)
    read_min_durability(request.min_durability, violations)
    violations.raise_if_any()
