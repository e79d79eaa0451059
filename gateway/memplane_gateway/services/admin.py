"""AdminService: what the gateway is, can do and how it fares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

from memplane.v1 import admin_service_pb2 as pb
from memplane_adapters.contract import Durability, Reached
from memplane_gateway import limits
from memplane_gateway.clock import Clock
from memplane_gateway.control import ControlStore
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import Mode
from memplane_gateway.routes import Route, Router
from memplane_gateway.services.outbox import Outboxes
from memplane_gateway.sweeper.sweeper import Sweeper
from memplane_gateway.wire.memories import KIND_NUMBERS, write_embedding
from memplane_gateway.wire.outbox import write_standing
from memplane_gateway.wire.queries import MODE_NUMBERS
from memplane_gateway.wire.replies import DURABILITY_NUMBERS, reason_number, write_capabilities
from memplane_gateway.wire.rpc import Rpc, rpcs_of
from memplane_gateway.wire.sweeps import write_renewals, write_sweeper
from memplane_gateway.wire.values import write_time


class AdminService:
    """The rpcs of memplane.v1.AdminService."""

    def __init__(
        self,
        router: Router,
        clock: Clock,
        notices: Callable[[], list[str]],
        control: ControlStore,
        sweeper: Sweeper,
    ) -> None:
        self._router = router
        self._outboxes = Outboxes(router)
        self._control = control
        self._notices = notices
        self._sweeper = sweeper
        self._started = clock.now()

    def rpcs(self) -> list[Rpc]:
        """All rpcs of the service."""
        return rpcs_of(
            pb.DESCRIPTOR.services_by_name["AdminService"],
            {
                "GetCapabilities": self.get_capabilities,
                "GetStatus": self.get_status,
                "ListOutboxEntries": self._outboxes.list_entries,
                "RetryOutboxEntries": self._outboxes.retry,
                "DropOutboxEntries": self._outboxes.drop,
            },
        )

    async def get_capabilities(
        self, _request: pb.GetCapabilitiesRequest, _caller: Caller
    ) -> pb.GetCapabilitiesResponse:
        """What each route can do."""
        response = pb.GetCapabilitiesResponse(limits=limits.SHOWN)
        for route in self._router.routes:
            message = response.routes.add(
                kind=KIND_NUMBERS[route.kind],
                store=route.store_name,
                adapter=route.adapter,
                auto_mode=MODE_NUMBERS[Mode(route.search)],
            )
            write_capabilities(route.capabilities, message.capabilities)
            if route.embedding is not None:
                write_embedding(route.embedding, message.embedding)
        return response

    async def get_status(
        self, _request: pb.GetStatusRequest, _caller: Caller
    ) -> pb.GetStatusResponse:
        """How each route fares now."""
        standing, *_ = await asyncio.gather(
            self._control.ping(), *(route.probe() for route in self._router.routes)
        )
        response = pb.GetStatusResponse(
            version=version("memplane-gateway"), notices=self._notices()
        )
        write_time(self._started, response.start_time)
        for route in self._router.routes:
            await _write_route(route, response.routes.add())
        self._write_control(standing, response.control)
        sweeper = await self._sweeper.standing(ask=standing is not None)
        write_sweeper(sweeper, response.sweeper)
        return response

    def _write_control(self, standing: Reached | None, message: pb.ControlStatus) -> None:
        message.store = self._control.name
        message.adapter = self._control.adapter
        message.shared = self._control.shared
        message.state = pb.ROUTE_STATE_NOT_SERVING
        if standing is not None:
            message.state = pb.ROUTE_STATE_SERVING
            message.durability = DURABILITY_NUMBERS[standing.level]


async def _write_route(route: Route, message: pb.RouteStatus) -> None:
    state = route.state
    stats = await route.stats()
    message.kind = KIND_NUMBERS[route.kind]
    message.store = route.store_name
    message.adapter = route.adapter
    message.state = pb.ROUTE_STATE_SERVING
    if state.error is not None:
        failure = route.failure(state.error)
        message.state = pb.ROUTE_STATE_NOT_SERVING
        message.error = reason_number(failure.reason)
        message.message = failure.message
    if state.reached is not None:
        message.durability = DURABILITY_NUMBERS[state.reached.level]
        message.persistent = state.reached.level is not Durability.BUFFERED
        message.durability_why = state.reached.why
        if state.reached.replicas is not None:
            message.replicas = state.reached.replicas
    if route.outbox is not None and (route.outbox.standing.dead or not route.outbox.closed):
        message.outbox.SetInParent()
        write_standing(route.outbox.standing, message.outbox)
    if route.renewals is not None:
        write_renewals(route.renewals, message.renewals)
    message.rows = -1 if stats.rows is None else stats.rows
    message.size_bytes = -1 if stats.size_bytes is None else stats.size_bytes
    message.ping_us = state.ping_us
    if route.embedding is not None:
        write_embedding(route.embedding, message.embedding)
