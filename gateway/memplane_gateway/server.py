"""The composition root: settings -> stores -> layers -> routes -> services -> grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from memplane_adapters.contract import (
    ConditionalWrite,
    Durability,
    StoreError,
    StoreReason,
)
from memplane_gateway import logs, sockets
from memplane_gateway.clock import Clock
from memplane_gateway.config import (
    Settings,
)
from memplane_gateway.control import ControlStore
from memplane_gateway.errors import MemplaneError, Reason
from memplane_gateway.interceptors import (
    Draining,
    Handler,
    SafeServer,
    generic_handlers,
    intercepted,
)
from memplane_gateway.layers import StackedKeyValueStore, make_layers
from memplane_gateway.memory.calls.once import OnceNotes, ProgressT
from memplane_gateway.memory.calls.removals import RemovalNotes
from memplane_gateway.memory.lifecycle.consolidating import Consolidation
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Operation
from memplane_gateway.notices import notices
from memplane_gateway.route_making import (
    EX_CONFIG,
    EX_UNAVAILABLE,
    Backends,
    RouteMaker,
    StartError,
)
from memplane_gateway.routes import Route, Router
from memplane_gateway.services.admin import AdminService
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.lifecycle import LifecycleService
from memplane_gateway.services.memory import MemoryService
from memplane_gateway.signals import Signals
from memplane_gateway.sweeper.sweeper import Plan, Sweeper

__all__ = ["SERVICES", "Gateway", "RouteInfo", "StartError", "run", "serve"]

_log = logging.getLogger(__name__)

SERVICES = (
    "memplane.v1.MemoryService",
    "memplane.v1.LifecycleService",
    "memplane.v1.AdminService",
)

_OPTIONS = (
    # Two gateways on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
    # Beyond this grpc.aio cancels calls; and a client that opens and resets streams is bounded.
    ("grpc.max_concurrent_streams", 500),
    # Identity only: grpc unpacks a compressed message as a whole before it looks at its size.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 15 * 60_000),
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_LAME_DUCK_SECONDS = 0.25
"""After NOT_SERVING calls are still taken for so long: those that were sent before it was heard."""

_LAST_WORDS_SECONDS = 0.1
"""The door stays open so long after the last answer, for calls that are on the wire already."""


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A route as it is shown when the gateway starts."""

    kind: str
    store: str
    adapter: str
    durability: str
    why: str
    """The setting of the store that decides its durability, if it says so."""
    embedder: str
    search: str
    error: str
    spools: bool
    """Whether writes wait while it does not serve."""


class Gateway:
    """A whole gateway. `start` opens the stores, `listen` the door; `stop` undoes both."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = ""
        self.handlers: dict[str, Handler] = {}
        self.streaming: frozenset[str] = frozenset()
        """The paths of those handlers that stream."""
        self._clock = Clock()
        self._backends = Backends(settings)
        self._control = self._control_store()
        self._notes = RemovalNotes(self._control, self._clock, shared=self._control.shared)
        self._purges = self._once_notes(Operation.PURGE, Progress.decode)
        self._forgets = self._once_notes(Operation.FORGET, Progress.decode)
        self._consolidations = self._once_notes(Operation.CONSOLIDATE, Consolidation.decode)
        self._router: Router | None = None
        self._sweeper: Sweeper | None = None
        self._server: aio.Server | None = None
        self._socket: tuple[int, int] | None = None
        self._draining = Draining()
        self._health = health.aio.HealthServicer()

    @property
    def routes(self) -> Sequence[RouteInfo]:
        """The routes as they fare now."""
        assert self._router is not None, "started"
        return [_info(route) for route in self._router.routes]

    @property
    def notices(self) -> list[str]:
        """What its operator should know now, one a sentence."""
        assert self._router is not None, "started"
        return notices(self.settings, self._router)

    async def start(self) -> None:
        """Open the stores and make the handlers.

        Raises StartError for what waiting does not mend; a store that is only down is a route that
        does not serve yet.
        """
        try:
            await self._control.get_ready()
        except StoreError as error:
            lasting = error.reason is StoreReason.MISCONFIGURED and not self._control.opened
            if lasting or not self._control.shared:
                raise StartError(f"the control store: {error}", _exit_code(error)) from error
            # Its server may come back: until then no route serves.
            _log.warning("the control store failed", extra={"error": str(error)})
        await self._check_outbox()
        self._router = Router(
            RouteMaker(self.settings, self._backends, self._clock, self._control).routes()
        )
        for route in self._router.routes:
            route.on_change = self._announce
        try:
            await self._router.start()
        except StoreError as error:  # what waits there must be known before anything is written
            await self.stop()
            raise StartError(
                f"the outbox in the control store: {error}", _exit_code(error)
            ) from error
        for route in self._router.routes:
            if fault := _lasting_fault(route):
                await self.stop()
                raise StartError(fault)
        self._sweeper = self._make_sweeper(self._router)
        consistency = Consistency(self._router, self._control.tokens, self._clock)
        services = (
            MemoryService(self._router, self._clock, self._notes, self._purges, consistency),
            LifecycleService(
                self._router, self._forgets, self._consolidations, self._sweeper, consistency
            ),
            AdminService(
                self._router, self._clock, lambda: self.notices, self._control, self._sweeper
            ),
        )
        rpcs = [rpc for service in services for rpc in service.rpcs()]
        self.streaming = frozenset(rpc.path for rpc in rpcs if rpc.streams)
        self.handlers = intercepted(
            rpcs,
            self._draining,
            default_deadline_seconds=self.settings.default_deadline_seconds,
        )
        self._sweeper.start()

    def _make_sweeper(self, router: Router) -> Sweeper:
        settings = self.settings
        return Sweeper(
            router,
            self._clock,
            self._control,
            self._control.tokens,
            Plan(
                [each.policy for each in settings.retention],
                interval=settings.sweep.interval_seconds,
                grace=settings.sweep.grace_seconds,
                budget=settings.scan_budget,
            ),
            shared=self._control.shared,
        )

    async def _check_outbox(self) -> None:
        """Refuses to let writes wait where they would not survive a loss of power."""
        routes = self.settings.routes
        spools = [
            kind
            for kind in ("semantic", "episodic", "procedural")
            if getattr(routes, kind).on_backend_down == "spool"
        ]
        if not spools or self._control.shared:  # which is refused for another reason
            return
        reached = await self._control.ping()
        if reached is not None and reached.level is not Durability.DISK:
            raise StartError(
                f"routes.{spools[0]}.on_backend_down: spool keeps writes in {self.settings.data_dir}, "
                f"which a loss of power would empty ({reached.why}): choose a data_dir on a disk"
            )

    def _once_notes(
        self, operation: Operation, decode: Callable[[str], ProgressT]
    ) -> OnceNotes[ProgressT]:
        shared = self._control.shared
        return OnceNotes(self._control, self._clock, operation, decode, shared=shared)

    def _control_store(self) -> ControlStore:
        name = self.settings.control.store
        store = StackedKeyValueStore(
            name, self._backends.key_value(name, "control.store"), make_layers()
        )
        if store.capabilities.conditional_write is not ConditionalWrite.NATIVE:
            raise StartError(f"control.store: the store {name!r} cannot compare what it replaces")
        adapter = self.settings.stores[name].adapter
        shared = self.settings.control_is_shared
        return ControlStore(store, self._clock, name=name, adapter=adapter, shared=shared)

    async def listen(self) -> None:
        """Open the door. Raises StartError when the address is taken or cannot be had."""
        listen = self.settings.address
        server = aio.server(
            options=[
                *_OPTIONS,
                ("grpc.max_receive_message_length", self.settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
            ]
        )
        server.add_generic_rpc_handlers(tuple(generic_handlers(self.handlers, self.streaming)))
        safe: Any = SafeServer(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, safe)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), safe
        )
        if listen.path and sockets.is_answered(listen.path):
            raise StartError(f"cannot listen on {listen}: another gateway does", EX_UNAVAILABLE)
        try:
            port = server.add_insecure_port(str(listen))
        except RuntimeError as error:
            raise StartError(
                f"cannot listen on {listen}: is it taken, or not this machine's?", EX_UNAVAILABLE
            ) from error
        self.address = str(listen) if listen.path else str(listen).rsplit(":", 1)[0] + f":{port}"
        await server.start()
        self._server = server
        self._socket = sockets.identity(listen.path) if listen.path else None
        for name in SERVICES:
            await self._health.set(name, _SERVING)
        await self._announce()

    async def stop(self, grace: float | None = None) -> None:
        """Say NOT_SERVING, soon refuse new calls, let those in flight end, close the stores.

        `grace` is how many seconds they have; None is what is configured. grpc's own grace is not
        used for that: it waits for health watchers and for idle connections too.
        """
        await self._health.enter_graceful_shutdown()
        if self._sweeper is not None:
            await self._sweeper.close()
        if self._server is not None:
            seconds = self.settings.drain_seconds if grace is None else grace
            await self._let_calls_end(seconds)
            await self._server.stop(_LAST_WORDS_SECONDS if seconds else 0)
            sockets.remove(self.settings.address.path, self._socket)
        if self._router is not None:
            await self._router.close()
        for notes in (self._notes, self._purges, self._forgets, self._consolidations):
            await notes.close()
        await self._control.close()

    async def _let_calls_end(self, seconds: float) -> None:
        """Take calls on until a moment without any, for half of the time at most; then refuse."""
        self._draining.end_streams()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds / 2):
                await asyncio.sleep(_LAME_DUCK_SECONDS)
                await self._draining.wait_idle()
        self._draining.begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds / 2):
                await self._draining.wait_idle()
                await asyncio.sleep(_LAST_WORDS_SECONDS)

    async def hurry(self) -> None:
        """End calls in flight now, while `stop` waits for them."""
        if self._server is not None:
            await self._server.stop(0)

    async def _announce(self, _: Route | None = None) -> None:
        """Tell health watchers how the routes fare; the whole serves while any route does."""
        assert self._router is not None, "started"
        routes = self._router.routes
        serving = {route.kind.value: route.state.error is None for route in routes}
        # A gateway that only takes writes for later is still to be called.
        some = any(serving.values()) or any(route.spools for route in routes)
        for name, good in {**serving, "": some}.items():
            await self._health.set(name, _SERVING if good else _NOT_SERVING)


async def serve(settings: Settings, on_ready: Callable[[Gateway], None]) -> None:
    """Run a gateway until SIGTERM or SIGINT; a second one ends calls in flight at once."""
    signals = Signals()
    gateway = Gateway(settings)
    try:
        await gateway.start()
        await gateway.listen()
        on_ready(gateway)
        await signals.first.wait()
        _log.info("stopping")
    finally:
        draining = asyncio.create_task(gateway.stop())
        hurry = asyncio.create_task(signals.second.wait())
        await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            await gateway.hurry()
        hurry.cancel()
        await draining


def run(settings: Settings, on_ready: Callable[[Gateway], None]) -> None:
    """`serve` with its logs on stderr, on the fastest event loop that is installed."""
    logs.configure(settings.log.level, settings.log.format)
    try:
        import uvloop
    except ImportError:  # Windows has none
        asyncio.run(serve(settings, on_ready))
    else:
        uvloop.run(serve(settings, on_ready))


def _lasting_fault(route: Route) -> str:
    """Why a gateway must not start with this route, or nothing.

    What a server refuses may be mended there; not so that it forgets more than it is to.
    """
    fault = route.state.error
    if isinstance(fault, MemplaneError):
        return fault.message if fault.reason is Reason.DURABILITY_UNAVAILABLE else ""
    if fault is not None and not route.opened and fault.reason is StoreReason.MISCONFIGURED:
        return f"the {route.kind.value} route: {fault}"
    return ""


def _info(route: Route) -> RouteInfo:
    state = route.state
    return RouteInfo(
        kind=route.kind.value,
        store=route.store_name,
        adapter=route.adapter,
        durability=state.durability.name if state.durability is not None else "unknown",
        why=state.reached.why if state.reached is not None else "",
        embedder=str(route.embedding) if route.embedding is not None else "",
        search=route.search,
        error="" if state.error is None else route.failure(state.error).message,
        spools=route.spools,
    )


def _exit_code(error: StoreError) -> int:
    return EX_CONFIG if error.reason is StoreReason.MISCONFIGURED else EX_UNAVAILABLE
