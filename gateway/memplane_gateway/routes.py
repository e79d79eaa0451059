"""Routes: a kind, its store and its embedder, and whether they serve.

A route opens its store when the gateway starts and keeps watch over it. While the store is down the
route is NOT_SERVING; it recovers by itself. Calls then go to the store, which knows better than the
last ping, and hear its own failure; unless it has never been ready, refuses the gateway or has lost
what was made for the route: then they fail at once with that reason, and the store is opened and made
ready anew before they are let through.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from memplane_adapters.contract import (
    Capabilities,
    Durability,
    EmbeddingIdentity,
    Eventual,
    Kind,
    Reached,
    Stats,
    Store,
    StoreError,
    StoreReason,
    reached_of,
)
from memplane_gateway.embedders import Embedder
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store, is_outage
from memplane_gateway.memory.further import KINDS
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.write.leases import coordinated
from memplane_gateway.memory.write.renewing import Renewals
from memplane_gateway.outbox.outbox import Outbox
from memplane_gateway.presence import Presence

_log = logging.getLogger(__name__)
WATCH_SECONDS = 2.0
_PROBE_SECONDS = 5.0
_NOT_READY = frozenset(
    {
        StoreReason.COLLECTION_MISSING,
        StoreReason.MISCONFIGURED,
        StoreReason.IDENTITY_MISMATCH,
        StoreReason.CLOSED,
    }
)


@dataclass(frozen=True, slots=True)
class RouteState:
    """How a route fares; `error` None is serving. A MemplaneError is not about the store alone."""

    error: StoreError | MemplaneError | None
    reached: Reached | None = None
    ping_us: int = -1

    @property
    def durability(self) -> Durability | None:
        """What an acknowledged write survives, as far as is known."""
        return None if self.reached is None else self.reached.level


class ReadOnly(Protocol):
    """What a route says that serves what somebody else keeps."""

    @property
    def refusal(self) -> MemplaneError:
        """What a caller hears who would write."""
        ...

    @property
    def notice(self) -> str:
        """What the operator should know of it, a sentence."""
        ...


class Route:
    """One kind of memory and what serves it."""

    def __init__(
        self,
        kind: Kind,
        *,
        store_name: str,
        adapter: str,
        store: Store,
        prepare: Callable[[], Awaitable[None]],
        embedder: Embedder | None,
        memories: Memories,
        required: Durability | None = None,
        presence: Presence | None = None,
        outbox: Outbox | None = None,
        read_only: ReadOnly | None = None,
    ) -> None:
        self.kind = kind
        self.store_name = store_name
        self.adapter = adapter
        self.embedder = embedder
        self.required = required
        """What a write must survive at least, or the route does not serve."""
        self.outbox = outbox
        """Where writes wait while the store is down. None: there is none, not even a closed one."""
        self.read_only = read_only
        """Why nothing is written here, not even by the sweeper. None: it is."""
        self._presence = presence
        self._store = store
        self._eventual = store if isinstance(store, Eventual) else None
        self._prepare = prepare
        self._memories = memories
        self._ready = False
        self._opened = False
        self._probing: asyncio.Task[None] | None = None
        self.state = RouteState(StoreError(StoreReason.CLOSED, "not opened yet", retryable=True))
        self.on_change: Callable[[Route], Awaitable[None]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the store can do, with the gateway's leases around it."""
        return coordinated(self._store.capabilities)

    @property
    def embedding(self) -> EmbeddingIdentity | None:
        """What makes vectors here."""
        return self.embedder.identity if self.embedder else None

    @property
    def search(self) -> str:
        """What AUTO means here for a text."""
        return self._memories.auto_mode.value

    @property
    def opened(self) -> bool:
        """Whether the store has ever been opened; what it says since then is not our set-up alone."""
        return self._opened

    @property
    def memories(self) -> Memories:
        """The memories. Raises the reason why the route does not serve."""
        error = self.state.error
        if error is not None and not self._ready and not self.spools:
            raise self.failure(error)
        return self._memories

    @property
    def renewals(self) -> Renewals | None:
        """What became of periods that reads were to renew; None where they do not."""
        return self._memories.renewals

    def consistency_tokens(self, tenant: str) -> list[str]:
        """What its store gives for what it has written so far; nothing where every read sees it."""
        eventual = self._eventual
        if eventual is None:
            return []
        kinds = [self.kind, *([KINDS[self.kind]] if self.kind in KINDS else [])]
        return [token for kind in kinds if (token := eventual.token(kind, tenant))]

    def reach(self, tokens: Iterable[str]) -> None:
        """From now on reads see the writes that gave these; a store that gives none need not wait."""
        if self._eventual is not None:
            for token in tokens:
                self._eventual.reach(token)

    @property
    def spools(self) -> bool:
        """Whether the store is down, or was not there yet, and writes wait for it meanwhile."""
        return self.outbox is not None and not self.outbox.closed and is_outage(self.state.error)

    @property
    def fault(self) -> StoreError | MemplaneError | None:
        """Why it does not serve; None: it does."""
        return self.state.error

    @property
    def ready(self) -> bool:
        """Whether its store was made ready, be it down now or not."""
        return self._ready

    async def open(self) -> None:
        """Begin what goes on behind callers' backs. Raises StoreError of the control store."""
        if self.outbox is not None:
            await self.outbox.open()
        if self.embedder is not None:
            await self.embedder.open()
        await self._memories.open(self)

    def failure(self, error: StoreError | MemplaneError) -> MemplaneError:
        """What a caller hears of a failure of the store."""
        return error if isinstance(error, MemplaneError) else from_store(error, self.kind.value)

    async def probe(self) -> None:
        """Open the store if it is not, ask whether it answers, and note how the route fares.

        Once for all who ask at a time, and in a context of its own: a caller without patience says
        nothing about the store.
        """
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(
                self._probe(), name=f"probe-{self.kind.value}", context=contextvars.Context()
            )
        await asyncio.shield(self._probing)

    async def _probe(self) -> None:
        try:
            if not self._ready:
                # May load a vendor's library, which takes seconds on a busy machine; asks no server.
                await self._store.open()
                self._opened = True
            async with asyncio.timeout(_PROBE_SECONDS):
                if not self._ready:
                    await self._prepare()
                start = time.perf_counter_ns()
                reached = reached_of(await self._store.ping())
                micros = (time.perf_counter_ns() - start) // 1000
            if self._presence is not None:
                await self._presence.check()
            shortfall = self.shortfall(reached)
            self._ready = shortfall is None
            state = RouteState(shortfall, reached, micros)
        except MemplaneError as error:
            self._ready = False
            state = RouteState(error)
        except StoreError as error:
            # What was made ready is there no more: calls hear why, and it is made ready anew.
            self._ready = self._ready and error.reason not in _NOT_READY
            state = RouteState(error)
        except TimeoutError:
            state = RouteState(
                StoreError(StoreReason.UNAVAILABLE, "no answer to a ping", retryable=True)
            )
        except Exception as error:  # noqa: BLE001 (logged, and said as the state)
            # The watch must live: a store that fails in a way of its own is down like any other.
            _log.exception("bug in a store", extra={"store": self.store_name})
            state = RouteState(StoreError(StoreReason.PROTOCOL, str(error)))
        changed = (state.error is None) != (self.state.error is None)
        self.state = state
        if changed:
            _log.info(
                "route serves" if state.error is None else "route does not serve",
                extra={"route": self.kind.value, "store": self.store_name},
            )
            if self.on_change is not None:
                await self.on_change(self)

    def shortfall(self, reached: Reached) -> MemplaneError | None:
        """Why a store that reaches so much is not enough for this route, or None."""
        if self.required is None or is_enough(reached.level, self.required):
            return None
        why = f" ({reached.why})" if reached.why else ""
        return MemplaneError(
            Code.FAILED_PRECONDITION,
            Reason.DURABILITY_UNAVAILABLE,
            f"the {self.kind.value} route requires {self.required.name} (require_durability), but "
            f"its store {self.store_name} ({self.adapter}) reaches {reached.level.name}{why}: change "
            "that in the store, name another store, or require less",
            metadata={"required": self.required.name, "route": reached.level.name},
        )

    async def stats(self) -> Stats:
        """Figures about the store; unknown while it is down."""
        if self.state.error is not None:
            return Stats(None, None)
        try:
            return await self._store.stats(self.kind)
        except StoreError:
            return Stats(None, None)

    async def close(self) -> None:
        """Let go of store and embedder."""
        if self._probing is not None:
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._memories.close()
        if self.outbox is not None:
            await self.outbox.close()
        if self._presence is not None:
            await self._presence.close()
        await self._store.close()
        if self.embedder is not None:
            await self.embedder.close()


class Router:
    """From a kind to its route."""

    def __init__(self, routes: Mapping[Kind, Route]) -> None:
        self.routes = tuple(routes.values())
        self._by_kind = dict(routes)
        self._watch: asyncio.Task[None] | None = None

    def __getitem__(self, kind: Kind) -> Route:
        return self._by_kind[kind]

    async def start(self) -> None:
        """Open all routes as far as they can be, and keep watch from then on."""
        for route in self.routes:
            await route.open()
        await self._probe_all()
        self._watch = asyncio.create_task(self._keep_watch(), name="route-watch")

    async def close(self) -> None:
        """Stop watching and let go of all stores."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for route in self.routes:
            await route.close()

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._probe_all()

    async def _probe_all(self) -> None:
        await asyncio.gather(*(route.probe() for route in self.routes))


def is_enough(reached: Durability, asked: Durability) -> bool:
    """Whether a level is at least another one.

    BUFFERED < PROCESS < DISK. A provider's word (MANAGED) passes for PROCESS; asked for by name it
    is met by MANAGED alone.
    """
    if Durability.MANAGED in (asked, reached):
        return reached is Durability.MANAGED and asked is not Durability.DISK
    return reached >= asked


def durability_refusal(asked: Durability | None, route: Route) -> MemplaneError | None:
    """Why a write that asks for a durability must not go to a route, or None.

    See `is_enough`.
    """
    reached = route.state.durability
    if asked is None:
        return None
    if reached is None and route.state.error is not None:
        return route.failure(route.state.error)  # nobody knows what it will reach
    if reached is not None and is_enough(reached, asked):
        return None
    shown = reached.name if reached else "UNKNOWN"
    return MemplaneError(
        Code.FAILED_PRECONDITION,
        Reason.DURABILITY_UNAVAILABLE,
        f"the {route.kind.value} route reaches {shown}, not {asked.name}; nothing was written",
        metadata={"asked": asked.name, "route": shown},
    )
