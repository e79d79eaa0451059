"""Makes the routes of a configuration: stores, layers, embedders, memories and outboxes together."""

from __future__ import annotations

import platform
from dataclasses import replace

from memplane_adapters.contract import (
    Backend,
    Collection,
    Durability,
    KeyValueStore,
    Kind,
    Store,
    VectorStore,
)
from memplane_gateway.adopting.serving import SnapshotStore
from memplane_gateway.adopting.snapshot import SnapshotMaker
from memplane_gateway.analysis import Analyzer
from memplane_gateway.clock import Clock
from memplane_gateway.config import (
    EMBEDDED,
    AdoptedSettings,
    ProceduralRouteSettings,
    RouteSettings,
    Settings,
    place_of,
)
from memplane_gateway.control import ControlStore, Place
from memplane_gateway.embedders import Embedder, serving
from memplane_gateway.layers import Layer, StackedKeyValueStore, StackedVectorStore, make_layers
from memplane_gateway.memory.embedding import TextVectors
from memplane_gateway.memory.further import KINDS
from memplane_gateway.memory.memories import Memories
from memplane_gateway.memory.questions import Mode
from memplane_gateway.memory.shelf import KeyValueShelf, Shelf
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.memory.write.leases import needs_leases
from memplane_gateway.outbox.entries import Limits
from memplane_gateway.outbox.outbox import Outbox
from memplane_gateway.outbox.spooling import SpoolingMemories
from memplane_gateway.presence import EntryNotes, Notes, PointNotes, Presence
from memplane_gateway.routes import Route, is_enough
from memplane_gateway.text_rooms import TextRoom
from memplane_gateway.wire.outbox import ProtobufSpooled
from memplane_gateway.wire.records import ProtobufRecords

EX_UNAVAILABLE = 69
EX_CONFIG = 78


class StartError(Exception):
    """The gateway cannot start; the message says what to do, `exit_code` how the process ends."""

    def __init__(self, message: str, exit_code: int = EX_CONFIG) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Backends:
    """Connects each configured store once, however many routes lead to it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Backend] = {}

    def vector(self, name: str, user: str) -> VectorStore:
        """The store as a vector store. Raises StartError when it is none."""
        store = self._backend(name).vector
        if store is None:
            raise StartError(f"{user}: the store {name!r} cannot keep vectors")
        return store

    def key_value(self, name: str, user: str) -> KeyValueStore:
        """The store as a key-value store. Raises StartError when it is none."""
        store = self._backend(name).key_value
        if store is None:
            raise StartError(f"{user}: the store {name!r} cannot keep key-values")
        return store

    def _backend(self, name: str) -> Backend:
        if name not in self._made:
            store = self._settings.stores[name]
            self._made[name] = store.connect(self._settings.data_dir)
        return self._made[name]


class RouteMaker:
    """Makes the routes of a configuration."""

    def __init__(
        self,
        settings: Settings,
        backends: Backends,
        clock: Clock,
        control: ControlStore,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._clock = clock
        self._control = control
        self._records = ProtobufRecords()
        self._embedders: dict[str, Embedder] = {}
        self._layers: dict[str, tuple[Layer, ...]] = {}

    def routes(self) -> dict[Kind, Route]:
        """A route a kind."""
        routes = self._settings.routes
        return {
            Kind.SEMANTIC: self._of_vectors(Kind.SEMANTIC, routes.semantic),
            Kind.EPISODIC: self._of_vectors(Kind.EPISODIC, routes.episodic),
            Kind.PROCEDURAL: self._looked_up(routes.procedural),
        }

    def _of_vectors(self, kind: Kind, route: RouteSettings) -> Route:
        store = self._settings.stores[route.store]
        if isinstance(store, AdoptedSettings):
            return self._adopted(kind, route, store)
        return self._searched(kind, route)

    def _adopted(self, kind: Kind, route: RouteSettings, settings: AdoptedSettings) -> Route:
        """A route over snapshots of a foreign collection, which nobody writes."""
        analyzer = Analyzer(language=route.language, stop_words=route.stop_words)
        embedder = self._embedder(route.embedder)
        snapshots = SnapshotStore(
            SnapshotMaker(
                adoption=settings.adoption,
                collection=Collection(kind, embedder.identity, analyzer.name),
                vectors=TextVectors(kind.value, embedder),
                analyzer=analyzer,
                codec=self._records,
                clock=self._clock,
                max_rows=settings.settings.max_rows,
            ),
            name=route.store,
            refresh_seconds=settings.settings.refresh_seconds,
        )
        store = StackedVectorStore(route.store, snapshots, self._layers_of(route.store))

        async def prepare() -> None:
            await self._control.serve_route()
            await snapshots.ready()

        return Route(
            kind,
            store_name=route.store,
            adapter=settings.adapter,
            store=store,
            prepare=prepare,
            embedder=embedder,
            memories=self._memories(
                kind,
                VectorShelf(store, self._records, analyzer),
                self._place_of(route.store),
                embedder=embedder,
                search=Mode(route.search) if route.search else None,
                outbox=None,
                refresh_ttl=False,
            ),
            read_only=snapshots,
        )

    def _searched(self, kind: Kind, route: RouteSettings) -> Route:
        inner = self._backends.vector(route.store, kind.value)
        store = StackedVectorStore(route.store, inner, self._layers_of(route.store))
        analyzer = Analyzer(language=route.language, stop_words=route.stop_words)
        embedder = self._embedder(route.embedder)
        collection = Collection(kind, embedder.identity, analyzer.name, route.index)
        place = Place(kind, route.store, self._place_of(route.store))
        room = TextRoom(
            store,
            replace(collection, kind=KINDS[kind]),
            self._control,
            replace(place, kind=KINDS[kind]),
        )

        async def prepare() -> None:
            await self._control.make_ready(store, collection, place)
            await room.look()

        search = Mode(route.search) if route.search else None
        if search is not None and not getattr(store.capabilities, search.value):
            raise StartError(
                f"routes.{kind.value}.search: the store {route.store!r} has no {search.value} "
                "search"
            )
        self._fits(kind, route, embedder.identity.dimension, store.capabilities.max_dimension)
        outbox = self._outbox(kind, route)
        return Route(
            kind,
            store_name=route.store,
            adapter=self._settings.stores[route.store].adapter,
            store=store,
            prepare=prepare,
            embedder=embedder,
            memories=self._memories(
                kind,
                VectorShelf(store, self._records, analyzer, room),
                place.hash,
                embedder=embedder,
                search=search,
                outbox=outbox,
                refresh_ttl=route.refresh_ttl,
            ),
            outbox=outbox,
            required=self._required(kind, route, store),
            presence=self._presence_of_points(route.store)
            if needs_leases(store.capabilities)
            else None,
        )

    def _fits(self, kind: Kind, route: RouteSettings, dimension: int, most: int) -> None:
        """Raises StartError when the vectors of a route are longer than its store takes; 0: any."""
        if 0 < most < dimension:
            raise StartError(
                f"routes.{kind.value}.embedder: the vectors of {route.embedder!r} have {dimension} "
                f"dimensions, but the store {route.store!r} takes at most {most}: name another "
                "store, or an embedder with fewer"
            )

    def _looked_up(self, route: ProceduralRouteSettings) -> Route:
        kind, name = Kind.PROCEDURAL, route.store
        inner = self._backends.key_value(name, kind.value)
        store = StackedKeyValueStore(name, inner, self._layers_of(name))
        outbox = self._outbox(kind, route)
        return Route(
            kind,
            store_name=name,
            adapter=self._settings.stores[name].adapter,
            store=store,
            prepare=self._control.serve_route,
            embedder=None,
            memories=self._memories(
                kind,
                KeyValueShelf(store, self._records),
                self._place_of(name),
                embedder=None,
                search=Mode.RECENT,
                outbox=outbox,
                refresh_ttl=route.refresh_ttl,
            ),
            outbox=outbox,
            required=self._required(kind, route, store),
            presence=self._presence(name, EntryNotes(store, self._clock)),
        )

    def _place_of(self, name: str) -> str:
        """What tells a store's place from others, for all who share the control store."""
        store, shared = self._settings.stores[name], self._control.shared
        own = shared and store.adapter == EMBEDDED  # each gateway has its own by that name
        return place_of(store, (platform.node(), str(self._settings.data_dir)) if own else ())

    def _presence_of_points(self, name: str) -> Presence | None:
        store = self._settings.stores[name].connect(self._settings.data_dir).vector
        assert store is not None, "a route leads to it"
        return self._presence(name, PointNotes(store, self._clock))

    def _presence(self, name: str, notes: Notes) -> Presence | None:
        """Looks for gateways that have another control store; one process owns an embedded store."""
        if self._settings.stores[name].adapter == EMBEDDED:
            return None
        return Presence(name, notes, self._clock, self._control.identity)

    def _required(
        self, kind: Kind, route: RouteSettings | ProceduralRouteSettings, store: Store
    ) -> Durability | None:
        """What a route requires. Raises StartError when its store can never reach it."""
        written = route.require_durability or self._settings.require_durability
        if written == "none":
            return None
        required = Durability[written.upper()]
        levels = store.capabilities.durability
        if levels and not any(is_enough(level, required) for level in levels):
            setting = f"routes.{kind.value}." if route.require_durability else ""
            raise StartError(
                f"{setting}require_durability: the {kind.value} route requires {required.name}, but "
                f"its store {route.store!r} reaches {max(levels).name} at best: name another store, "
                "or require less"
            )
        return required

    def _memories(
        self,
        kind: Kind,
        shelf: Shelf,
        place: str,
        *,
        embedder: Embedder | None,
        search: Mode | None,
        outbox: Outbox | None,
        refresh_ttl: bool,
    ) -> Memories:
        budget = self._settings.scan_budget
        parts = (
            kind.value,
            shelf,
            self._clock,
            TextVectors(kind.value, embedder),
            self._control.tokens,
        )
        if outbox is not None and not outbox.closed:
            return SpoolingMemories(
                *parts,
                search=search,
                scan_budget=budget,
                outbox=outbox,
                refresh_ttl=refresh_ttl,
            )
        return Memories(
            *parts,
            search=search,
            scan_budget=budget,
            shared=self._control.leases(place),
            refresh_ttl=refresh_ttl,
        )

    def _outbox(self, kind: Kind, route: RouteSettings | ProceduralRouteSettings) -> Outbox | None:
        """Where writes wait while the store is down; closed where they are not to.

        Raises StartError where waiting makes no sense, or would not be seen by others.
        """
        if refusal := self._settings.spool_refusal(kind.value):
            raise StartError(f"routes.{kind.value}.on_backend_down: {refusal}")
        spool = route.on_backend_down == "spool"
        wanted = self._settings.outbox
        limits = Limits(wanted.max_bytes, wanted.max_age_seconds) if spool else None
        place = self._place_of(route.store)
        return self._control.outbox(kind, place, ProtobufSpooled(self._records), limits)

    def _layers_of(self, store: str) -> tuple[Layer, ...]:
        if store not in self._layers:
            self._layers[store] = make_layers()
        return self._layers[store]

    def _embedder(self, name: str) -> Embedder:
        if name not in self._embedders:
            self._embedders[name] = serving(self._settings.embedders[name])
        return self._embedders[name]
